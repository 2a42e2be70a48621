"""Paired: what changes from one record of `benchmarks.wake` to another, question by question? Of other settings, or of the code since.

    python -m benchmarks.paired NEW.json OLD.json [--json]

Every arm that both records have, over the questions that both asked; nothing is asked anew. Differences have intervals by document.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import MissingFileError, UsageError

SCALES = {"f1": 100.0, "em": 100.0, "nll": 1.0}
"""Marks, and what they are multiplied by: points, or nats per token."""
Asked = tuple[str, str, str, str]
"""Kind, document, arm and question."""


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("paired", "The same questions in two records of benchmarks.wake.")
    parser.add_argument("new", type=Path, help="a record")
    parser.add_argument("old", type=Path, help="what it is compared with")
    args = parser.parse_args(arguments)
    new, old = answers_of(args.new), answers_of(args.old)
    if not (both := [key for key in old if key in new]):
        raise UsageError(f"{args.new}: asks no question of {args.old} in the same way; give two records of the same data")
    arms = {arm: changes([key for key in both if key[2] == arm], new, old) for arm in dict.fromkeys(key[2] for key in both)}
    table = Table("arm", "questions", "F1", "exact", "answer NLL", title=f"{args.new.name} less {args.old.name}")
    for arm, figures in arms.items():
        table.add_row(arm, str(figures["n"]), *(_shown(figures[mark]) for mark in SCALES))
    common.show(table, to_stderr=args.json)
    result = {"benchmark": "paired", "new": args.new.name, "old": args.old.name, "arms": arms}
    common.finish(f"paired-{args.new.stem}", result | common.environment(), {}, args.out, args.json)


def answers_of(path: Path) -> dict[Asked, Mapping[str, Any]]:
    """The answers of a record; raises `MissingFileError`, and `UsageError` for what is no record of `benchmarks.wake`."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; measure one with python -m benchmarks.wake --out {path}")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
        return {(row["kind"], row["document"], row["arm"], row["question"]): {mark: float(row[mark]) for mark in SCALES} for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: got {error!r}, expected a record of python -m benchmarks.wake") from None


def changes(asked: Sequence[Asked], new: Mapping[Asked, Mapping[str, Any]], old: Mapping[Asked, Mapping[str, Any]]) -> dict[str, Any]:
    """Both means, and the mean difference with its interval over documents, of every mark."""
    documents = [f"{kind} {document}" for kind, document, _, _ in asked]
    out: dict[str, Any] = {"n": len(asked), "documents": len(set(documents))}
    for mark, scale in SCALES.items():
        ours, theirs = ([scale * answers[key][mark] for key in asked] for answers in (new, old))
        less = [a - b for a, b in zip(ours, theirs, strict=True)]
        around = interval(Resampler(documents).means(less, documents))
        out[mark] = {"new": fmean(ours), "old": fmean(theirs), "mean": fmean(less), "interval": around}
    return out


def _shown(figures: Mapping[str, Any]) -> str:
    low, high = figures["interval"] or (float("nan"), float("nan"))
    return f"{figures['new']:.2f}, {figures['mean']:+.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    common.run(main)
