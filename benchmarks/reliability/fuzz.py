"""Fuzz: is whatever is read from outside a good value or one sentence, for thousands of drawn inputs of every kind?

    python -m benchmarks.reliability.fuzz [--examples 2000] [--seconds 900] [--seed 0] [--only NAME] [--json]

The properties of `properties`, each tried in batches with seeds of their own until it has had its examples, or its share of the seconds.
A property that fails is shrunk to a small input, told, and left there. Faults are to be 0: another exception than nrem's, several lines,
a law that does not hold, or more than ten seconds.
"""

import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from rich.table import Table

from benchmarks.harness import common
from benchmarks.reliability.properties import PROPERTIES
from benchmarks.reliability.property import outcome
from nrem.memory.errors import UsageError

BATCH = 250
COLUMNS = ("examples", "good", "refused", "faults", "seconds")


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.fuzz", (__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000, help="of each property")
    parser.add_argument("--seconds", type=float, default=900.0, help="for all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="one property; may be given again")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.only if name not in PROPERTIES]:
        raise UsageError(f"--only {unknown[0]}: no such property; there are {', '.join(PROPERTIES)}")
    if not args.skip_tests:
        common.require_green("tests/benchmarks/test_fuzz.py")
    names = args.only or list(PROPERTIES)
    rows, faults = dict[str, dict[str, float]](), dict[str, list[str]]()
    with tempfile.TemporaryDirectory(prefix="nrem-fuzz-") as scratch:
        for name in names:
            with common.stage(name):
                rows[name], faults[name] = fuzz(name, args.examples, args.seconds / len(names), args.seed, Path(scratch))
            for fault in faults[name]:
                print(f"{name}: {fault}", file=sys.stderr)
    total = {column: round(sum(row[column] for row in rows.values()), 1) for column in COLUMNS}
    table = Table("read", *COLUMNS, title="fuzzing", title_justify="left")
    for name, row in [*rows.items(), ("all", total)]:
        table.add_row(name, *(f"{row[column]:g}" for column in COLUMNS))
    result = {"benchmark": "fuzz", "seed": args.seed, "total": total, "properties": rows, "environment": common.environment()}
    common.show(table, to_stderr=args.json)
    common.finish("fuzz", result, {"faults": {name: found for name, found in faults.items() if found}}, args.out, args.json)


def fuzz(name: str, examples: int, seconds: float, seed_: int, scratch: Path) -> tuple[dict[str, float], list[str]]:
    """Try one property; returns its row, and its faults with the smallest input that shows each."""
    counts, started, faults, batch = Counter[str](), time.perf_counter(), list[str](), 0
    one = PROPERTIES[name]
    while (left := examples - counts.total()) > 0 and not faults and time.perf_counter() - started < seconds:

        @seed(f"{seed_} {name} {batch}")
        @settings(max_examples=min(BATCH, left), deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(one.drawn)
        def holds(drawn: Any) -> None:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            try:
                counts[outcome(one, folder, drawn)] += 1
            finally:
                shutil.rmtree(folder)

        before = counts.total()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                holds()
        except BaseExceptionGroup as group:
            faults += [_told(error) for error in group.exceptions]
        except Exception as error:
            faults.append(_told(error))
        if counts.total() == before:
            break  # all that there is to draw was drawn
        batch += 1
    row = {"examples": float(counts.total()), "good": float(counts["good"]), "refused": float(counts["refused"])}
    return row | {"faults": float(len(faults)), "seconds": round(time.perf_counter() - started, 1)}, faults


def _told(error: BaseException) -> str:
    """The error, and the input that hypothesis has shrunk."""
    notes = " ".join(" ".join(getattr(error, "__notes__", ())).split())
    return f"{type(error).__name__}: {str(error)[:300]}; {notes[:600]}"


if __name__ == "__main__":
    common.run(main)
