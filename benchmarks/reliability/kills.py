"""Kills: is a memory the old one or the new one, whole, wherever a command is killed, and what does the next command find?

    python -m benchmarks.reliability.kills [--trials 216] [--seed 0] [--rows FILE.jsonl] [--json]

On a tiny random model, in processes of their own. Half of the kills are aimed: before one of the system calls that change a folder, drawn
evenly over all of them; half come after a random time. After each the next commands run: two that only look, then the same command again,
or `--resume`. A row is kept for each kill, so that a run that was cut off goes on.

old, new: what lies there when looked at. lost: neither. gone: for a moment there was nothing under the name. silent: the next command ended
well with something else. foreign: files of a person that were changed. left: private left-overs behind the next command that writes.
"""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import common
from benchmarks.reliability.ground import SECRET, Ground, Said, ground
from benchmarks.reliability.killed import Ended
from benchmarks.reliability.rows import count_by, counts_table, keep_row, read_rows
from nrem.memory.memory import Memory

COUNTS = ("old", "new", "lost", "gone", "silent", "tracebacks", "foreign", "left")
SHARES = {"save": 36, "rm": 36, "forget": 36, "extend": 36, "sleep": 24, "resume": 24, "force": 24}


@dataclass(frozen=True)
class Operation:
    """A command that is killed, and the one that comes after it."""

    before: tuple[tuple[Path, str], ...]
    """What is copied to the ground first."""
    act: Callable[[], Any] | tuple[str, ...]
    again: tuple[str, ...]
    """Goes on, or does it again, where the old one is there."""
    secret: str = ""
    """What nothing may hold any more when it is done."""


def operations(on: Ground) -> dict[str, Operation]:
    """All of them; makes the memories that they begin with."""
    made = on.folder / "made"
    on.fresh()
    _well(on.command(*on.sleep("story.md")))
    shutil.copytree(on.here / "m", made / "story")
    on.fresh()
    _well(on.command(*on.sleep("other.md")))
    shutil.copytree(on.here / "m", made / "other")
    cut = 0
    while not (on.here / "m.unfinished" / "resume.safetensors").exists():  # aimed at the first checkpoint and behind it
        cut += 5
        on.fresh()
        if not on.command(*on.sleep("story.md"), number=cut).ended.killed:
            raise RuntimeError("the sleep ended before it had a checkpoint")
    shutil.copytree(on.here / "m.unfinished", made / "cut")
    story, other, half = made / "story", made / "other", made / "cut"
    number = next(c for c, line in enumerate((story / "text" / "chunks.jsonl").read_text(encoding="utf-8").splitlines()) if SECRET in line)
    forget = ("forget", "m", "--chunk", str(number))
    return {
        "sleep": Operation((), on.sleep("story.md"), on.sleep("story.md", "--resume")),
        "resume": Operation(((half, "m.unfinished"),), on.sleep("story.md", "--resume"), on.sleep("story.md", "--resume")),
        "force": Operation(((other, "m"),), on.sleep("story.md", "--force"), on.sleep("story.md", "--force", "--resume")),
        "extend": Operation(
            ((story, "m"),), ("extend", "m", str(on.folder / "other.md"), "-q"), ("extend", "m", str(on.folder / "other.md"), "-q")
        ),
        "forget": Operation(((story, "m"),), forget, forget, SECRET),
        "save": Operation(((other, "m"),), lambda: _save(story), on.sleep("story.md", "--force")),
        "rm": Operation(((story, "m"),), ("rm", "m", "--yes"), ("rm", "m", "--yes"), SECRET),
    }


def _save(source: Path) -> None:
    Memory.load(source).save("m", force=True)


def _well(said: Said) -> Said:
    if said.ended.code:
        raise RuntimeError(said.text)
    return said


class Trials:
    """Kills one operation again and again."""

    def __init__(self, on: Ground, name: str, operation: Operation) -> None:
        self.on, self.name, self.operation = on, name, operation
        on.fresh(*operation.before)
        self.theirs, self.old = on.theirs(), on.state()
        whole = _well(self._act())
        self.new, self.calls, self.seconds = on.state(), whole.ended.calls, whole.seconds
        self.problems = [f"touched {name}" for name in on.touched(self.theirs)] + [f"left {name}" for name in on.left()]

    def trial(self, draw: random.Random) -> dict[str, Any]:
        """One kill; a row of the raw file."""
        on, operation = self.on, self.operation
        on.fresh(*operation.before)
        aimed = draw.random() < 0.5
        point: dict[str, Any] = {"number": draw.randint(1, self.calls)} if aimed else {"seconds": self.seconds * draw.uniform(0.02, 1.1)}
        killed = self._act(**point)
        gone = bool(self.old) and self.name != "rm" and not on.state()
        looked = on.do(lambda: _look())
        found = on.state()
        row: dict[str, Any] = {"operation": self.name, **point, "killed": killed.ended.killed, "gone": gone}
        row |= {"old": found == self.old, "new": found == self.new and found != self.old, "lost": found not in (self.old, self.new)}
        said, then = [looked], Said(Ended(0, 0), "", 0.0)
        if found == self.old:
            then = on.command(*operation.again)
            said.append(then)
        else:
            said.append(on.command("rm", "nothing-there", "--yes"))
        row["silent"] = bool(not then.ended.code and on.state() != self.new)
        row["stuck"] = then.text.strip()[-300:] if then.ended.code else ""
        row["tracebacks"] = sum(one.traceback for one in (killed, *said))
        row["foreign"] = on.touched(self.theirs)
        if on.left():
            on.command("show", "m")
        row["left"] = on.left() + (on.holds(operation.secret) if operation.secret else [])
        return row

    def _act(self, **point: Any) -> Said:
        act = self.operation.act
        return self.on.command(*act, **point) if isinstance(act, tuple) else self.on.do(act, **point)


def _look() -> None:
    from benchmarks.reliability.ground import command

    command("ls", ".")
    command("show", "m")


def rows(trials: int, seed: int, file: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each kill; those that the file has are taken from there."""
    known = read_rows(file)
    yield from known
    with ground() as on:
        all_ = operations(on)
        for name, operation in ((name, all_[name]) for name in SHARES):
            count = round(trials * SHARES[name] / sum(SHARES.values()))
            done = sum(row["operation"] == name for row in known)
            if done >= count:
                continue
            with common.stage(f"{count} kills of {name}"):
                killing = Trials(on, name, operation)
                for number in range(done, count):
                    row = killing.trial(random.Random(f"{seed} {name} {number}"))
                    keep_row(file, row)
                    yield row


def counted(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Counts by operation, and of all."""
    return count_by([row | {"died": row["killed"]} for row in found], "operation", "kills", ("died", *COUNTS, "stuck"))


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.kills", __doc__ or "")
    parser.add_argument("--trials", type=int, default=sum(SHARES.values()), help="how many kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="keeps a row for each kill; a later run goes on with it")
    args = parser.parse_args(argv)
    if not args.skip_tests:
        common.require_green("tests/memory/saved/test_replace.py", "tests/memory/saved/test_lock.py")
    found = list(rows(args.trials, args.seed, args.rows))
    counts = counted(found)
    common.show(counts_table(counts, "killed", "kills"), to_stderr=args.json)
    common.finish("kills", {"benchmark": "kills", "seed": args.seed, "counts": counts}, {"rows": found}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
