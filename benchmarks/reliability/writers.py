"""Writers: two commands on one memory at the same time. Does one work and the other learn who is at it, or is something lost?

    python -m benchmarks.reliability.writers [--pairs 32] [--seed 0] [--rows FILE.jsonl] [--json]

On a tiny random model, in processes of their own; the second begins a random time after the first, at most half of what that takes.
A row is kept for each pair, so that a run that was cut off goes on.

both: both ended well, one behind the other. told: one ended well, the other with one sentence that names command and process, or says that
the memory is not there, where the first had deleted it. died: neither ended well. lost: what lies there is not what the commands that ended
well make of it, or an update of one that ended well is missing.
"""

import json
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import common
from benchmarks.reliability.ground import STORY, Ground, ground
from benchmarks.reliability.rows import count_by, counts_table, keep_row, read_rows
from nrem.memory.saved.files import MEMORY

COUNTS = ("both", "told", "died", "lost", "tracebacks", "foreign", "left")
PAIRS = (
    ("extend", "extend"),
    ("sleep", "sleep"),
    ("extend", "forget"),
    ("extend", "rm"),
    ("sleep", "extend"),
    ("forget", "forget"),
    ("sleep", "rm"),
    ("forget", "rm"),
)


def pair(on: Ground, kinds: tuple[str, str], whole: dict[str, float], draw: random.Random, made: Path) -> dict[str, Any]:
    """Two commands at once; a row of the raw file."""
    on.fresh((made, "m"))
    theirs = on.theirs()
    commands = [_command(on, kind, number) for number, kind in enumerate(kinds)]
    wait = draw.uniform(0, whole[kinds[0]] / 2)
    children = []
    for number, argv in enumerate(commands):
        time.sleep(wait if number else 0)
        child = os.fork()
        if not child:
            said = on.command(*argv)
            (on.folder / f"pair-{number}").write_text(json.dumps([said.ended.code, said.text, said.traceback]), encoding="utf-8")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    ends = [json.loads((on.folder / f"pair-{number}").read_text(encoding="utf-8")) for number in range(2)]
    well = [kind for kind, (code, *_) in zip(kinds, ends, strict=True) if code == 0]
    told = sum(code in (1, 2) and _told(text, deleted="rm" in well) for code, text, _ in ends)
    then = on.command("show", "m")
    row: dict[str, Any] = {"pair": "+".join(kinds), "both": len(well) == 2, "told": len(well) == 1 and told == 1, "died": not well}
    row |= {
        "ends": [text.strip()[-200:] for _, text, _ in ends],
        "lost": _lost(on, [(k, n) for n, k in enumerate(kinds) if ends[n][0] == 0]),
    }
    row |= {"tracebacks": sum(t for *_, t in ends) + then.traceback, "foreign": on.touched(theirs), "left": on.left()}
    return row


def _told(text: str, *, deleted: bool) -> bool:
    """One sentence: who writes there, or, where the other has deleted it by then, that it is not there."""
    gone = deleted and ("no such memory" in text or "not a memory" in text)
    return text.strip().count("\n") == 0 and ("(process " in text or gone)


def _command(on: Ground, kind: str, number: int) -> tuple[str, ...]:
    """Those of one pair read other documents, so that what each has done can be told."""
    return {
        "extend": ("extend", "m", str(on.folder / f"more-{number}.md"), "-q"),
        "sleep": on.sleep(f"more-{number}.md", "--force"),
        "forget": ("forget", "m", "--chunk", str(number)),
        "rm": ("rm", "m", "--yes"),
    }[kind]


def _lost(on: Ground, well: Sequence[tuple[str, int]]) -> str:
    """What is missing or too much, given the commands that ended well; empty where nothing is."""
    state, path = on.state(), on.here / "m" / MEMORY
    if state.startswith("damaged"):
        return state
    names = [d["name"] for d in json.loads(path.read_text(encoding="utf-8"))["documents"]] if path.exists() else None
    chunks = len(json.loads(path.read_text(encoding="utf-8"))["chunks"]) if path.exists() else 0
    kinds = [kind for kind, _ in well]
    if "rm" in kinds:
        return "" if names is None or len(well) == 2 else f"deleted, and yet there: {names}"
    if names is None:
        return "gone"
    if "sleep" in kinds:
        return "" if any(f"more-{n}.md" in names for kind, n in well if kind == "sleep") else f"slept on, and yet {names}"
    if missing := [n for kind, n in well if kind == "extend" and f"more-{n}.md" not in names]:
        return f"extended by more-{missing[0]}.md, and yet {names}"
    before = len((on.folder / "made" / "text" / "chunks.jsonl").read_text(encoding="utf-8").splitlines())
    forgotten = kinds.count("forget")
    return (
        f"{forgotten} forgotten of {before}, and yet {chunks}"
        if forgotten and "extend" not in kinds and chunks != before - forgotten
        else ""
    )


def rows(pairs: int, seed: int, file: Path | None) -> Iterator[dict[str, Any]]:
    """A row for each pair; those that the file has are taken from there."""
    known = read_rows(file)
    yield from known
    with ground() as on:
        for number in range(2):
            text = f"# More {number}\n\nThe ferry of Ulm {number} was built in 18{number}3 by Jo Park. It carried 40 carts a day.\n\n"
            text += "\n\n".join(STORY.replace("18", str(century)) for century in (16, 17, 19))  # long enough to be in the way
            (on.folder / f"more-{number}.md").write_text(text, encoding="utf-8")
        on.fresh()
        if on.command(*on.sleep("story.md")).ended.code:
            raise RuntimeError("the memory could not be made")
        made = Path(shutil.copytree(on.here / "m", on.folder / "made"))
        whole = {}
        for kind in dict.fromkeys(kind for kinds in PAIRS for kind in kinds):
            for _ in range(2):  # the first is slower
                on.fresh((made, "m"))
                whole[kind] = on.command(*_command(on, kind, 0)).seconds
        for number in range(len(known), pairs):
            kinds = PAIRS[number % len(PAIRS)]
            with common.stage(f"{number + 1} of {pairs}: {' and '.join(kinds)}"):
                row = pair(on, kinds, whole, random.Random(f"{seed} {number}"), made)
            keep_row(file, row)
            yield row


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.writers", __doc__ or "")
    parser.add_argument("--pairs", type=int, default=4 * len(PAIRS), help="how many pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="keeps a row for each pair; a later run goes on with it")
    args = parser.parse_args(argv)
    if not args.skip_tests:
        common.require_green("tests/memory/saved/test_lock.py")
    found = list(rows(args.pairs, args.seed, args.rows))
    counts = count_by(found, "pair", "pairs", COUNTS)
    common.show(counts_table(counts, "pair", "two writers"), to_stderr=args.json)
    common.finish("writers", {"benchmark": "writers", "seed": args.seed, "counts": counts}, {"rows": found}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
