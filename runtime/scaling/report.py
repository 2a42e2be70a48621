"""The exchange report: fitted trades, break-even numbers and what matches what, as one object, as text, and as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nrem.runtime.scaling.exchange import BreakEven, Match, break_even, frontier, matches
from nrem.runtime.scaling.fit import Slope, fit_trade
from nrem.runtime.scaling.points import Run
from nrem.runtime.show.memory import plain_table

COLOURS = ("#2a9d8f", "#c8553d", "#5e548e", "#e9a03b")
INK = "#22223b"


@dataclass(frozen=True)
class Report:
    """What runs on the same questions say together."""

    runs: tuple[Run, ...]
    questions: int
    """A document, that one sleep is taken to serve."""
    trades: dict[str, list[Slope]]
    """By model."""
    evens: list[BreakEven]
    matches: list[Match]

    @classmethod
    def of(cls, runs: Sequence[Run], questions: int) -> "Report":
        """`runs`: the smallest model first."""
        trades = {run.model: fit_trade(run.points, runs[0].floor.nll) for run in runs}
        found = [m for large in runs[1:] for m in matches(runs[0], large, questions)]
        return cls(tuple(runs), questions, trades, break_even(runs, questions), found)

    def to_dict(self) -> dict[str, Any]:
        points = [
            {"model": p.model, "passes": p.passes, "way": p.way, "points": p.points, "nll": sum(p.nll) / len(p.nll)}
            | {"sleep_gflop": p.sleep_gflop, "question_gflop": p.question_gflop}
            for run in self.runs
            for p in run.points
        ]
        return {
            "questions": len(self.runs[0].floor.right),
            "questions_a_document": self.questions,
            "points": points,
            "trades": {model: [s.to_dict() for s in slopes] for model, slopes in self.trades.items()},
            "break_even": [e.to_dict() for e in self.evens],
            "matches": [m.to_dict() for m in self.matches],
        }


def print_report(out: Console, report: Report) -> None:
    """For a person."""
    for title, table in (
        (f"Settings, for {report.questions} questions a document (frontier in bold)", _points_table(report)),
        ("Log-odds of a right answer for e times as much of an axis", _trade_table(report)),
        ("From how many questions a document the sleep is the cheaper way", _even_table(report)),
        ("What the smaller model must spend to match the larger one, a question", _match_table(report)),
    ):
        if table.row_count:
            out.print(f"\n{title}", style="bold")
            out.print(table)


def _points_table(report: Report) -> Table:
    table = plain_table("", ">right, points", ">answer NLL", ">sleep GFLOP", ">question GFLOP", ">all, a question")
    for run in report.runs:
        edge = frontier(run.points, report.questions)
        for p in run.points:
            each = p.gflop(report.questions) / report.questions
            figures = (
                f"{p.points:.0f}",
                f"{sum(p.nll) / len(p.nll):.2f}",
                f"{p.sleep_gflop:,.0f}",
                f"{p.question_gflop:,.1f}",
                f"{each:,.1f}",
            )
            table.add_row(p.name, *figures, style="bold" if p in edge else "")
    return table


def _trade_table(report: Report) -> Table:
    table = plain_table("model", "axis", ">slope", ">95 % of resamples")
    for model, slopes in report.trades.items():
        for slope in slopes:
            table.add_row(model, slope.name, f"{slope.value:+.2f}", f"{slope.low:+.2f} to {slope.high:+.2f}")
    return table


def _even_table(report: Report) -> Table:
    table = plain_table("sleep", "against", ">questions", ">points more", ">95 % of resamples")
    for even in report.evens:
        number = "never" if even.questions is None else f"{max(1.0, even.questions):,.0f}"
        points = even.points
        table.add_row(even.sleep, even.other, number, f"{points.mean:+.0f}", f"{points.low:+.0f} to {points.high:+.0f}")
    return table


def _match_table(report: Report) -> Table:
    table = plain_table("third", "larger model", ">points", ">GFLOP", "cheapest equal of the smaller", ">points", ">GFLOP")
    for match in report.matches:
        small = (match.small, f"{match.small_points:.0f}", f"{match.small_gflop:,.1f}") if match.small else ("none that was tried", "", "")
        table.add_row(match.bin, match.large, f"{match.large_points:.0f}", f"{match.large_gflop:,.1f}", *small)
    return table


def draw_report(report: Report, picture: Path) -> str:
    """Right answers against GFLOP a question, a colour a model; returns why it could not be drawn, or nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"{picture.name} was not drawn, matplotlib is missing: pip install 'nrem[plot]'"
    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes: Any = figure.subplots()
    for run, colour in zip(report.runs, COLOURS * len(report.runs), strict=False):
        edge = frontier(run.points, report.questions)
        each = [p.gflop(report.questions) / report.questions for p in edge]
        axes.step(each, [p.points for p in edge], where="post", color=colour, alpha=0.5, label=run.model.replace("$", r"\$"))
        for p in run.points:
            x = p.gflop(report.questions) / report.questions
            axes.scatter([x], [p.points], s=36, color=colour if p in edge else "white", edgecolors=colour, zorder=3)
            label = "document in the prompt" if p.passes is None else f"{p.passes} {p.way}"
            axes.annotate(label, (x, p.points), xytext=(5, 3), textcoords="offset points", color=INK, fontsize=7)
    axes.set(xscale="log", xlabel=f"GFLOP a question, the sleep shared by {report.questions}", ylabel="right answers, points")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    made = picture.with_name(f".{picture.name}.tmp")
    figure.savefig(made, dpi=160, format="png")
    made.replace(picture)
    return ""
