"""The report of a closed-book comparison: means, intervals over documents, the same by label, and tables. Knows nothing about models."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.harness.arms import Arm
from nrem.consolidation.resample import Resampler, interval
from nrem.runtime.measure.evaluate import recovery, summary

MARKS = ("nll", "f1", "em", "accuracy")
MOST_BINS = 8
"""Numeric labels with more values than this are cut into quarters."""


def report(arms: Mapping[str, Arm]) -> dict[str, Any]:
    """The keys of `nrem eval --json`, with intervals over documents, costs, and the same by label."""
    means = {name: summary([a.outcome for a in arm.asked]) for name, arm in arms.items()}
    nll = {name: m["nll"] for name, m in means.items()}
    resampler = Resampler([a.group for arm in arms.values() for a in arm.asked])
    drawn = {name: {mark: _resample(resampler, arm, mark) for mark in MARKS if mark in means[name]} for name, arm in arms.items()}
    intervals: dict[str, Any] = {name: {mark: interval(x) for mark, x in marks.items()} for name, marks in drawn.items()}
    for key, best in (("recovery", False), ("recovery_of_best_floor", True)):
        intervals[key] = interval(_recoveries({name: marks["nll"] for name, marks in drawn.items()}, best_floor=best))
    costs = {name: arm.cost() for name, arm in arms.items()}
    return {
        "arms": means,
        "recovery": recovery(nll),
        "recovery_of_best_floor": recovery(nll, best_floor=True),
        "intervals": intervals,
        "memory_minus": {
            other: {mark: _difference(means, drawn, other, mark) for mark in drawn["memory"]}
            for other in arms
            if other != "memory" and "memory" in arms
        },
        "fet": {name: cost["fet"] for name, cost in costs.items()},
        "seconds": {name: cost["seconds"] for name, cost in costs.items()},
        "passes": {name: fmean(arm.passes) for name, arm in arms.items() if arm.passes},
        "kept": {name: fmean(arm.kept) for name, arm in arms.items() if arm.kept},
        "by_label": by_label(arms),
    }


def _resample(resampler: Resampler, arm: Arm, mark: str) -> np.ndarray:
    return resampler.means([a.marks[mark] for a in arm.asked], [a.group for a in arm.asked])


def _difference(means: Mapping[str, Any], drawn: Mapping[str, Any], other: str, mark: str) -> dict[str, Any]:
    """Memory minus another arm on the same documents."""
    gap = drawn["memory"][mark] - drawn[other][mark]
    return {"mean": means["memory"][mark] - means[other][mark], "interval": interval(gap)}


def _recoveries(nll: Mapping[str, np.ndarray], *, best_floor: bool) -> np.ndarray:
    rows = [dict(zip(nll, values, strict=True)) for values in zip(*nll.values(), strict=True)]
    found = [recovery(row, best_floor=best_floor) for row in rows]
    return np.array([np.nan if value is None else value for value in found])


def by_label(arms: Mapping[str, Arm]) -> dict[str, Any]:
    """Means for every value of every label that tells the questions apart."""
    questions = [a.outcome.question for arm in arms.values() for a in arm.asked]
    out: dict[str, Any] = {}
    for label in sorted({name for q in questions for name in q.labels}):
        value_of = binned([q.labels.get(label) for q in questions])
        if len(value_of) < 2 or len(set(value_of.values())) < 2:
            continue
        out[label] = {}
        for value in dict.fromkeys(value_of.values()):
            chosen = {name: [a.outcome for a in arm.asked if a.goes_by(label, value_of) == value] for name, arm in arms.items()}
            means = {name: summary(outcomes) for name, outcomes in chosen.items() if outcomes}
            out[label][value] = {"arms": means, "recovery": recovery({name: m["nll"] for name, m in means.items()})}
    return out


def binned(values: Sequence[int | str | None]) -> dict[int | str | None, str]:
    """The name that each value goes by: itself, or its quarter where there are many numbers."""
    known = sorted({v for v in values if v is not None}, key=lambda v: (isinstance(v, str), v))
    numbers = [v for v in known if isinstance(v, int)]
    if len(known) <= MOST_BINS or len(numbers) < len(known):
        return {v: str(v) for v in known}
    edges = np.quantile([v for v in values if isinstance(v, int)], [0.25, 0.5, 0.75])
    quarter = {v: int(np.searchsorted(edges, v, side="left")) for v in numbers}
    bounds = {q: [v for v in numbers if quarter[v] == q] for q in set(quarter.values())}
    return {v: f"{bounds[quarter[v]][0]}-{bounds[quarter[v]][-1]}" for v in numbers}


def table(result: Mapping[str, Any], title: str) -> Table:
    """Scores beside costs, one row an arm."""
    marks = [m for m in MARKS if any(m in arm for arm in result["arms"].values())]
    out = Table(title=title, title_justify="left")
    for column in ("arm", "answer NLL", *(m.upper() if m != "accuracy" else m for m in marks[1:]), "n"):
        out.add_column(column, justify="left" if column == "arm" else "right")
    for column in ("FET/document", "s/document", "FET/question", "s/question"):
        out.add_column(column, justify="right")
    for name, arm in result["arms"].items():
        cells = [_with_interval(arm[m], result["intervals"][name][m], 2 if m == "nll" else 1, 1 if m == "nll" else 100) for m in marks]
        fet, seconds = result["fet"][name], result["seconds"][name]
        costs = [f"{fet['document']:,.0f}", f"{seconds['document']:.2f}", f"{fet['question']:,.0f}", f"{seconds['question']:.3f}"]
        out.add_row(name, *cells, str(arm["n"]), *costs)
    lines = []
    for key in ("recovery", "recovery_of_best_floor"):
        if result[key] is not None:
            lines.append(f"{key.replace('_', ' ')}: {_with_interval(result[key], result['intervals'][key], 0, 100)} %")
    out.caption, out.caption_justify = "; ".join(lines) or None, "left"
    return out


def label_table(result: Mapping[str, Any]) -> Table | None:
    """Answer NLL and the last mark by label; None where the data has none."""
    if not result["by_label"]:
        return None
    names = list(result["arms"])
    mark = "accuracy" if any("accuracy" in arm for arm in result["arms"].values()) else "f1"
    out = Table("label", "value", "n", *names, "recovery", title=f"answer NLL ({mark} %)", title_justify="left")
    for label, values in result["by_label"].items():
        for value, part in values.items():
            arms = part["arms"]
            cells = [f"{arms[n]['nll']:.2f} ({100 * arms[n][mark]:.0f})" if n in arms else "" for n in names]
            share = part["recovery"]
            out.add_row(label, value, str(next(iter(arms.values()))["n"]), *cells, "" if share is None else f"{100 * share:.0f} %")
    return out


def _with_interval(value: float, around: Sequence[float] | None, digits: int, scale: float) -> str:
    text = f"{scale * value:.{digits}f}"
    return text if around is None else f"{text} [{scale * around[0]:.{digits}f}, {scale * around[1]:.{digits}f}]"


def outcomes(levels: Mapping[str, Mapping[str, Arm]]) -> list[dict[str, Any]]:
    """Every single answer, for the raw file."""
    rows = []
    for level, arms in levels.items():
        for name, arm in arms.items():
            for a in arm.asked:
                said = {"answer": a.outcome.answer.answer, "accepted": list(a.outcome.question.answers)}
                where = {"level": level, "arm": name, "document": a.document, "group": a.group, "question": a.outcome.question.id}
                rows.append(where | said | {mark: round(value, 4) for mark, value in a.marks.items()})
    return rows
