"""Full disk: what is left of a memory when the disk is full while a command writes, and does the command go on once there is room?

    python -m benchmarks.reliability.full_disk [--sizes 6] [--seed 0] [--rows FILE.jsonl] [--json]

On a tiny random model, in processes of their own, memory and temporary folder on a tmpfs of a few pages more than what lies there, up to
more than enough; where none may be mounted, with a limit on the size of each file instead. Then the disk is made larger, and the command
given again, with `--resume` where a sleep was left unfinished.

well: ended well, with what it should make. told: exit code 1 and one sentence, and the old memory is as it was. lost: what lies there is
neither. wordy: another exit code, or not one sentence. stuck: it does not end well with room. foreign: files of a person that were
changed. left: something private is left behind the next command.
"""

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.harness import common
from benchmarks.reliability.ground import STORY, Ground, Said, command, ground
from benchmarks.reliability.rows import count_by, counts_table, keep_row, read_rows
from benchmarks.reliability.small_disk import SmallDisk, can_mount, limited

COUNTS = ("well", "told", "lost", "wordy", "tracebacks", "stuck", "foreign", "left")
ROOM = 256 << 20


class Operation(NamedTuple):
    """A command, and what lies there before it."""

    before: tuple[tuple[Path, str], ...]
    argv: tuple[str, ...]
    again: tuple[str, ...]
    """With room; of a sleep that was left unfinished, with `--resume` behind it."""
    writes: bool = True


def operations(on: Ground) -> dict[str, Operation]:
    """All of them; makes the memories that they begin with."""
    made = on.folder / "made"
    (on.folder / "more.md").write_text(STORY.replace("18", "17"), encoding="utf-8")
    for name in ("story", "other"):
        on.fresh()
        said = on.command(*on.sleep(f"{name}.md"))
        if said.ended.code:
            raise RuntimeError(said.text)
        shutil.copytree(on.here / "m", made / name)
    cut = 0
    while not (on.here / "m.unfinished" / "resume.safetensors").exists():
        cut += 10
        on.fresh()
        on.command(*on.sleep("story.md"), number=cut)
    shutil.copytree(on.here / "m.unfinished", made / "cut")
    story, other, half = ((made / name) for name in ("story", "other", "cut"))
    both = ((story, "m"), (other, "n"))
    sleep, extend = on.sleep("story.md"), ("extend", "m", str(on.folder / "more.md"), "-q")
    forget, merge, ask = ("forget", "m", "--chunk", "0"), ("merge", "m", "n", "-o", "b"), ("ask", "m", "Who kept the lamp?")
    resume, force = on.sleep("story.md", "--resume"), on.sleep("story.md", "--force")
    return {
        "sleep": Operation((), sleep, sleep),
        "force": Operation(((other, "m"),), force, force),
        "resume": Operation(((half, "m.unfinished"),), resume, on.sleep("story.md")),
        "extend": Operation(((story, "m"),), extend, extend),
        "forget": Operation(((story, "m"),), forget, forget),
        "merge": Operation(both, merge, merge),
        "ask": Operation(((story, "m"),), ask, ask, writes=False),
    }


class Trials:
    """One operation on disks of several sizes."""

    def __init__(self, on: Ground, name: str, operation: Operation, disk: SmallDisk | None) -> None:
        self.on, self.name, self.operation, self.disk = on, name, operation, disk
        self._begin(ROOM)
        self.old, self.theirs, self.least = self._state(), on.theirs(), disk.used if disk else 0
        said = on.command(*operation.argv)
        if said.ended.code:
            raise RuntimeError(f"{name}: {said.text}")
        self.new, self.most = self._state(), self.least + (2 * disk.used if disk else 0)
        self.largest = max((path.stat().st_size for path in on.here.rglob("*") if path.is_file()), default=0)
        self._end()

    def trial(self, share: float) -> dict[str, Any]:
        """One size, from `share` 0 for hardly any room to 1 for more than enough; a row of the raw file."""
        on, size = self.on, int(self.least + share * (self.most - self.least)) if self.disk else int(3 * share * self.largest)
        self._begin(max(size, 4096), small=True)
        said = on.command(*self.operation.argv) if self.disk else on.do(limited(lambda: command(*self.operation.argv), size))
        found, well = self._state(), said.ended.code == 0
        row: dict[str, Any] = {"operation": self.name, "size": size, "said": said.text.strip()[-300:] if not well else ""}
        row |= {"well": well and found == self.new, "told": not well and found == self.old, "lost": found not in (self.old, self.new)}
        row["lost"] = bool(row["lost"] or (well and found != self.new))
        row["wordy"] = not well and not (said.ended.code == 1 and said.text.strip().count("\n") == 0 and said.text.strip())
        if self.disk:
            self.disk.grow(ROOM)
        then = said if well else self._again()
        row["stuck"] = then.text.strip()[-300:] if then.ended.code else "another memory" if self._state() != self.new else ""
        row["tracebacks"] = said.traceback + then.traceback
        row["foreign"] = on.touched(self.theirs)
        if on.left():
            on.command("rm", "nothing-there", "--yes")
        row["left"] = on.left() + ["m.unfinished"] * (on.here / "m.unfinished" / "resume.safetensors").exists()
        self._end()
        return row

    def _again(self) -> Said:
        unfinished = (self.on.here / "m.unfinished").exists() and "--resume" not in self.operation.again
        return self.on.command(*self.operation.again, *(("--resume",) if unfinished and self.operation.again[0] == "sleep" else ()))

    def _state(self) -> str:
        return f"{self.on.state()} {self.on.state('b')}"

    def _begin(self, size: int, *, small: bool = False) -> None:
        if self.disk:
            shutil.rmtree(self.on.here, ignore_errors=True)
            if not self.disk.mount(max(size, ROOM)):
                raise RuntimeError("the tmpfs was mounted before, and cannot be now")
        self.on.fresh(*self.operation.before)
        if self.disk and small:
            self.disk.grow(size)

    def _end(self) -> None:
        if self.disk:
            self.disk.unmount()


def rows(sizes: int, seed: int, file: Path | None, *, mount: bool = True) -> Iterator[dict[str, Any]]:
    """A row for each operation and size; those that the file has are taken from there."""
    known = read_rows(file)
    yield from known
    with ground() as on:
        disk = SmallDisk(on.here) if mount and can_mount(on.folder) else None
        for name, operation in operations(on).items():
            if (done := sum(row["operation"] == name for row in known)) >= sizes:
                continue
            with common.stage(f"{sizes} sizes for {name}"):
                trials = Trials(on, name, operation, disk)
                for number in range(done, sizes):
                    share = (number + random.Random(f"{seed} {name} {number}").random()) / sizes
                    row = {"disk": "tmpfs" if disk else "file size limit"} | trials.trial(share**2)  # most happens where there is little
                    keep_row(file, row)
                    yield row


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.full_disk", __doc__ or "")
    parser.add_argument("--sizes", type=int, default=6, help="disks for each command")
    parser.add_argument("--file-limit", action="store_true", help="limit the size of files, also where a tmpfs may be mounted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="keeps a row for each trial; a later run goes on with it")
    args = parser.parse_args(argv)
    if not args.skip_tests:
        common.require_green("tests/memory/saved/test_replace.py")
    found = list(rows(args.sizes, args.seed, args.rows, mount=not args.file_limit))
    counts = count_by(found, "operation", "trials", COUNTS)
    disks = sorted({row["disk"] for row in found})
    common.show(counts_table(counts, "command", f"full disk ({', '.join(disks)})"), to_stderr=args.json)
    result = {"benchmark": "full_disk", "seed": args.seed, "disk": disks, "counts": counts, "environment": common.environment()}
    common.finish("full_disk", result, {"rows": found}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
