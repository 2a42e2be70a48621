"""Depth: answer NLL by the number of passes, a trained protocol beside an untrained one, in one picture.

    python -m benchmarks.closed_book --data FILE.jsonl --passes 1,2,4,8 --out trained.json
    python -m benchmarks.closed_book --data FILE.jsonl --passes 1,2,4,8 --limit 8 --protocol untrained --out untrained.json
    python -m benchmarks.passes trained.json untrained.json [--picture docs/passes.png]

Both over the documents that are in both; 0 passes are what each protocol answers with nothing written. Draws what was measured, measures
nothing; intervals by document.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.harness import common
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import MissingFileError, UsageError


class Depth(NamedTuple):
    """One protocol: mean answer NLL and its interval by the number of passes, and with the text in the prompt."""

    label: str
    levels: dict[int, tuple[float, float, float]]
    context: float | None


def read(path: Path) -> dict[str, Any]:
    """A result of `benchmarks.closed_book`; raises `MissingFileError` and `UsageError`."""
    if not path.exists():
        raise MissingFileError(f"{path}: no such file; give a result of benchmarks.closed_book")
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if result.get("benchmark") != "closed_book" or not all(level.isdigit() for level in result["levels"]):
        raise UsageError(f"{path}: expected a result of benchmarks.closed_book with --passes N,N...")
    return result


def depth(result: Mapping[str, Any], documents: set[str]) -> Depth:
    """The curve over these documents."""
    rows = [row for row in result["outcomes"] if row["document"] in documents]
    first = next(iter(result["levels"]))

    def under(level: str, arm: str) -> list[dict[str, Any]]:
        return [row for row in rows if (row["level"], row["arm"]) == (level, arm)]

    arms = {0: under(first, "floor")} | {int(level): under(level, "memory") for level in result["levels"]}
    drawn = Resampler(sorted(documents), 0)
    levels = {}
    for level, asked in arms.items():
        values = [row["nll"] for row in asked]
        ends = interval(drawn.means(values, [row["document"] for row in asked]))
        mean = fmean(values)
        levels[level] = (mean, *(ends or (mean, mean)))
    context = [row["nll"] for row in under(first, "context")]
    return Depth(result["protocol"], levels, fmean(context) if context else None)


def draw(curves: Sequence[Depth], picture: Path) -> None:
    """Lines with bars, equally spaced levels."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    ticks = sorted({level for curve in curves for level in curve.levels})
    for curve, color in zip(curves, ("tab:blue", "tab:orange"), strict=True):
        at = [ticks.index(level) for level in curve.levels]
        means, low, high = zip(*curve.levels.values(), strict=True)
        bars = [[m - x for m, x in zip(means, low, strict=True)], [x - m for m, x in zip(means, high, strict=True)]]
        axes.errorbar(at, means, bars, fmt="o-", capsize=3, color=color, label=curve.label)
        if curve.context is not None:
            axes.axhline(curve.context, linestyle=":", color=color, label=f"{curve.label}: text in the prompt")
    axes.set_xticks(range(len(ticks)), [str(level) for level in ticks])
    axes.set(xlabel="passes over every chunk", ylabel="answer NLL, nats per token, closed book")
    figure.legend(loc="outside upper center", ncols=2)
    figure.savefig(picture, dpi=150)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.passes", description="Draw answer NLL by the number of passes.")
    parser.add_argument("results", nargs=2, type=Path, help="two results of benchmarks.closed_book: trained, untrained")
    parser.add_argument("--picture", type=Path, help="where to draw it")
    args = parser.parse_args(arguments)
    results = [read(path) for path in args.results]
    documents = set.intersection(*({row["document"] for row in result["outcomes"]} for result in results))
    if not documents:
        raise UsageError(f"{args.results[1]}: has no document of {args.results[0]}; measure both on the same file")
    curves = [depth(result, documents) for result in results]
    table = Table("protocol", "passes", "answer NLL", "95 %", title=f"{len(documents)} documents")
    for curve in curves:
        for level, (mean, low, high) in curve.levels.items():
            table.add_row(curve.label, str(level), f"{mean:.2f}", f"{low:.2f} to {high:.2f}")
        if curve.context is not None:
            table.add_row(curve.label, "in the prompt", f"{curve.context:.2f}", "")
    common.show(table, to_stderr=False)
    if args.picture:
        draw(curves, args.picture)


if __name__ == "__main__":
    common.run(main)
