"""Guided: the properties of `fuzz`, by inputs that reach new code of nrem (atheris and libFuzzer, where atheris is installed).

    python -m benchmarks.reliability.guided [--seconds 20] [--only NAME] [--json]

Each property has a process of its own, which ends at its first fault: another exception than nrem's, several lines, a law that does not
hold, or more than ten seconds. `pip install atheris` (Linux and macOS); without it `fuzz` draws by chance.
"""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence

from rich.table import Table

from benchmarks.harness import common
from benchmarks.reliability.properties import PROPERTIES
from nrem.memory.errors import NremError, UsageError

RUNS = re.compile(r"Done (\d+) runs|stat::number_of_executed_units:\s+(\d+)")
COVERED = re.compile(r"cov: (\d+)")


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.guided", (__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each property")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one property; may be given again")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("atheris") is None:
        raise NremError("atheris is not installed: pip install atheris, or draw by chance with python -m benchmarks.reliability.fuzz")
    if unknown := [name for name in args.only if name not in PROPERTIES]:
        raise UsageError(f"--only {unknown[0]}: no such property; there are {', '.join(PROPERTIES)}")
    if not args.skip_tests:
        common.require_green("tests/benchmarks/test_fuzz.py")
    rows, faults = dict[str, dict[str, int]](), dict[str, str]()
    for name in args.only or PROPERTIES:
        with common.stage(name):
            rows[name], fault = in_a_process(name, args.seconds)
        if fault:
            faults[name] = fault
            print(f"{name}: {fault}", file=sys.stderr)
    table = Table("read", "inputs", "places reached", "faults", title="fuzzing, guided", title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(str(value) for value in row.values()))
    common.show(table, to_stderr=args.json)
    total = {key: sum(row[key] for row in rows.values()) for key in ("inputs", "faults")}
    result = {"benchmark": "guided", "total": total, "properties": rows, "environment": common.environment()}
    common.finish("guided", result, {"faults": faults}, args.out, args.json)


def in_a_process(name: str, seconds: float) -> tuple[dict[str, int], str]:
    """The row of a property, and its fault in words; "" where there is none."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.reliability.guided_one", name, str(seconds)]
    done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=False, encoding="utf-8", errors="replace")
    said = done.stdout + done.stderr
    runs, covered = RUNS.findall(said), COVERED.findall(said)
    row = {"inputs": max((int(n) for pair in runs for n in pair if n), default=0), "reached": max(map(int, covered), default=0)}
    found = re.search(r"Uncaught Python exception: ===\n(.*?)(\n==|\Z)", said, re.DOTALL)
    fault = " ".join(found[1].split())[-600:] if found else "" if done.returncode == 0 else said[-300:]
    return row | {"faults": int(bool(fault))}, fault


if __name__ == "__main__":
    common.run(main)
