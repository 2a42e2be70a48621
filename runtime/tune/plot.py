"""The picture of a tuning run: quality against the price of the task, a mark a setting, the frontier drawn. Knows nothing about how it was
measured."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nrem.runtime.show.night import plural
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.table import is_chosen
from nrem.runtime.tune.tune import Tuning

INK, SLEEP, PROMPT, FAINT = "#22223b", "#2a9d8f", "#c8553d", "#c9c9d3"
MARKS = "osD^vPX*<>"
"""A mark a way, the adapter alone first."""


def plot_tuning(found: Tuning, picture: Path) -> str:
    """Draw scores against the price of the task; returns why it could not be drawn, or nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"{picture.name} was not drawn, matplotlib is missing: pip install 'nrem[plot]', then the same command with --resume"
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, found, "f1", 100, "F1, points")
    _draw(right, found, "nll", 1, "NLL of the answers, nats a token (lower is better)")
    names = ", ".join(d["name"] for d in found.about["documents"][:3])
    most = max(len(row.asked) for row in found.rows)
    title = f"{names}: {plural(most, 'question')}, {plural(len(found.rows), 'setting')}; numbers are passes, the line is the frontier"
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", fontsize=10, parse_math=False)  # "$" in a name is no formula
    made = picture.with_name(f".{picture.name}.tmp")
    figure.savefig(made, dpi=160, format="png")
    made.replace(picture)
    return ""


def frontier(rows: Sequence[Row], questions: float, score: str = "f1") -> list[Row]:
    """Rows that nothing beats that costs as much or less, cheapest first; of NLL less is better. Only what was asked every question."""
    most, sign = max(len(row.asked) for row in rows), -1 if score == "nll" else 1
    found: list[Row] = []
    best = float("-inf")
    for row in sorted(rows, key=lambda row: (row.total_fet(questions), -sign * fmean(row.values(score)))):
        value = sign * fmean(row.values(score))
        if len(row.asked) == most and value > best:
            found.append(row)
            best = value
    return found


def _draw(axes: Any, found: Tuning, score: str, factor: float, label: str) -> None:
    n = found.wish.expected_questions
    ways = list(dict.fromkeys(row.way for row in found.rows if row.passes is not None))
    marks = {way: MARKS[i % len(MARKS)] for i, way in enumerate(sorted(ways, key=lambda way: way != "direct"))}
    edge = frontier(found.rows, n, score)
    axes.step([row.total_fet(n) for row in edge], [factor * fmean(row.values(score)) for row in edge], where="post", color=FAINT, zorder=1)
    most = max(len(row.asked) for row in found.rows)
    for row in found.rows:
        interval, x = row.interval(score), row.total_fet(n)
        colour = PROMPT if row.passes is None else SLEEP
        whole = len(row.asked) == most
        y = factor * interval.mean
        if whole:
            around = [[y - factor * interval.low], [factor * interval.high - y]]
            axes.errorbar([x], [y], around, fmt="none", ecolor=colour, elinewidth=0.8, capsize=2, alpha=0.6, zorder=2)
        face = colour if is_chosen(found, row) else "white"
        mark, size = marks.get(row.way, "o"), 60 if whole else 14
        axes.scatter([x], [y], s=size, marker=mark, color=face, edgecolors=colour, linewidths=1.2, zorder=3)
        if whole:
            name, left = ("document in\nthe prompt", True) if row.passes is None else (str(row.passes), False)
            place = {"xytext": (-7 if left else 7, 5), "ha": "right" if left else "left"}
            axes.annotate(name, (x, y), **place, textcoords="offset points", color=INK, fontsize=8)
    for way, mark in marks.items():
        axes.scatter([], [], marker=mark, s=40, color="white", edgecolors=SLEEP, label=way)
    axes.legend(frameon=False, fontsize=8, loc="best")
    axes.set(xlabel=f"FET for the sleep and {plural(n, 'question')}", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0, right=1.18 * max(row.total_fet(n) for row in found.rows))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:,.0f}k" if x >= 1000 else f"{x:.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
