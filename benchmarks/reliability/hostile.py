"""Hostile: what do the commands that open a memory do with memories that somebody made to do harm?

    python -m benchmarks.reliability.hostile [--limit N] [--json]

One spoilt thing a case (`hostile_cases`), every hash right, on a tiny random model, each command in this process. An outcome is: refused in
one sentence, or the same output as of the sound memory, or silent (it says something else), or a traceback, or slow (more than
`--seconds`), or that planted code ran. The last four are to be 0. `ls`, `show` and `rm` read the record only, and may list, or delete, what
others refuse. Of a command that makes a memory, what the new one answers is compared.
"""

import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.harness import common
from benchmarks.reliability.hostile_cases import Case, cases
from benchmarks.reliability.sound import QUESTIONS, environment, make_sound
from nrem.runtime.commands.main import main as nrem

TESTS = ("tests/memory/saved/test_foreign_folder.py", "tests/runtime/test_opened.py")
MADE, MORE = "made", "more.txt"
"""What a command makes of the memory, and what it reads into it, beside the memory's folder."""
COMMANDS = {
    "ls": ("--json",),
    "show": ("--json",),
    "ask": (QUESTIONS[0],),
    "verify": ("--json",),
    "extend": (MORE, "-o", MADE, "-q"),
    "forget": ("--chunk", "0", "-o", MADE),
    "merge": ("sound", "-o", MADE),
    "rm": ("--yes",),
}
MAKING = ("extend", "forget", "merge")
RECORD_ONLY = ("ls", "show", "rm")
OUTCOMES = ("refused", "same", "listed", "silent", "traceback", "slow", "code ran")


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.hostile", (__doc__ or "").splitlines()[0])
    parser.add_argument("--limit", type=int, default=0, help="only the first so many cases; 0 for all")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a command may take")
    args = parser.parse_args(argv)
    if not args.skip_tests:
        common.require_green(*TESTS)
    chosen = list(cases().items())[: args.limit or None]
    with tempfile.TemporaryDirectory(prefix="nrem-hostile-") as name:
        os.environ["NREM_CACHE"] = f"{name}/cache"
        with common.stage("a sound memory"):
            sound = make_sound(Path(name))
            here = Path(name) / "cases" / "case"
            here.parent.mkdir()
            shutil.copytree(sound.memory, here.parent / "sound")
            (here.parent / MORE).write_text("Aldo Finch mended the boat in Wexley in 1851.\n", encoding="utf-8")
            first = _run("ask", _fresh(sound.memory, here), ("--model", str(sound.model)))  # the user names the base once
            expected = {command: _run(command, _fresh(sound.memory, here)) for command in COMMANDS}
        assert first[0] == 0, first
        assert not any(done[0] for done in expected.values()), expected
        rows, bad = {command: Counter[str]() for command in COMMANDS}, []
        with common.stage(f"{len(chosen)} cases x {len(COMMANDS)} commands"):
            for label, case in chosen:
                for command, outcome in _try(case, sound.memory, here, expected, args.seconds).items():
                    rows[command][outcome] += 1
                    if outcome not in ("refused", "same", "listed"):
                        bad.append(f"{command}: {label}: {outcome}")
        result = {"benchmark": "hostile", "cases": len(chosen), "commands": {c: dict(row) for c, row in rows.items()}, "bad": bad}
        result |= {"environment": environment(sound.base)}
        for line in bad:
            print(line, file=sys.stderr)
        common.show(_table(rows), to_stderr=args.json)
        common.finish("hostile", result, {}, args.out, args.json)


Done = tuple[int, str, str, str]
"""Exit code, standard output and error, and the name of an exception that came through."""


def _try(case: Case, sound: Path, here: Path, expected: dict[str, Done], seconds: float) -> dict[str, str]:
    found, proof = {}, here.parent / "ran"
    folder = _fresh(sound, here)
    case(folder)
    for command in COMMANDS:
        started = time.perf_counter()
        done = _run(command, folder)
        outcome = _outcome(command, done, expected[command])
        if time.perf_counter() - started > seconds:
            outcome = "slow"
        found[command] = "code ran" if proof.exists() else outcome
    return found


def _outcome(command: str, done: Done, expected: Done) -> str:
    code, out, err, escaped = done
    if escaped or "Traceback" in err or "unexpected" in err:
        print(f"{command}: {escaped or err.strip()[-300:]}", file=sys.stderr)
        return "traceback"
    if code:
        return "refused" if len(err.strip().splitlines()) == 1 else "traceback"
    if out == expected[1]:
        return "same"
    return "listed" if command in RECORD_ONLY else "silent"


def _run(command: str, folder: Path, more: Sequence[str] = ()) -> Done:
    """One command, in this process and beside the memory; of one that makes a memory, what that answers."""
    with contextlib.chdir(folder.parent):
        shutil.rmtree(MADE, ignore_errors=True)
        done = _said([command, str(folder), *COMMANDS[command], *more])
        if command in MAKING and done[0] == 0 and not done[3]:
            return _said(["ask", MADE, *COMMANDS["ask"]])
    return done


def _said(argv: Sequence[str]) -> Done:
    out, err, code, escaped = io.StringIO(), io.StringIO(), 0, ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            nrem(list(argv))
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:
            escaped = f"{type(error).__name__}: {error}"
    return code, out.getvalue(), err.getvalue(), escaped


def _fresh(sound: Path, here: Path) -> Path:
    """A copy of the sound memory under a name that is always the same."""
    shutil.rmtree(here, ignore_errors=True)
    for left in here.parent.glob("moved-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return Path(shutil.copytree(sound, here))


def _table(rows: dict[str, Counter[str]]) -> Table:
    table = Table("command", *OUTCOMES, title="hostile memories", title_justify="left")
    for command, row in rows.items():
        table.add_row(command, *(str(row[outcome]) for outcome in OUTCOMES))
    return table


if __name__ == "__main__":
    common.run(main)
