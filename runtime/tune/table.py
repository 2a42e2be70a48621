"""What a person sees of a tuning run: a table of all ways, the recommendation, a picture. Knows nothing about how it was measured."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nrem.consolidation.resample import Interval
from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.night import plural, share
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.tune import Tuning

INK, SLEEP, PROMPT, FAINT = "#22223b", "#2a9d8f", "#c8553d", "#c9c9d3"


def tuning_report(out: Console, found: Tuning, documents: Sequence[str], folder: Path) -> None:
    """Print it all; documents and folder as the user named them."""
    out.print(tuning_table(found))
    measured = plural(len(found.rows[0].asked), "question")
    out.print(f"in brackets: middle 95 % of resamples over {measured}; sleep: once, for all questions", style="dim")
    first, *rest = found.recommendation.sentences
    out.print(f"\n{first}", style="bold", markup=False)
    for sentence in rest:
        out.print(f"  {sentence}", markup=False)
    out.print(f"\nuse it: {use_it(found, documents, folder)}", markup=False)


def use_it(found: Tuning, documents: Sequence[str], folder: Path) -> str:
    """What to do now, in a line."""
    if found.recommendation.way == "context":
        return "put the document in the prompt"
    if found.recommendation.way == "floor":
        return "ask without sleeping, or tune again with more questions or other levels"
    return shlex.join(["nrem", "sleep", *documents, "--config", str(folder / "config.toml"), "-o", "memories/NAME"])


def tuning_table(found: Tuning) -> Table:
    """A row a way; the recommended one is bold."""
    questions = plural(found.wish.expected_questions, "question")
    scores = (">F1, points", ">exact, points", ">answer NLL")
    table = plain_table("way", *scores, ">sleep FET", ">estimation", ">s", ">question FET", ">s", f">FET for {questions}")
    for row in found.rows:
        f1, em, nll = (found.scores(row)[name] for name in ("f1", "em", "nll"))
        slept = bool(row.passes)
        cells = (
            row.name,
            bracketed(f1, 100, 1),
            bracketed(em, 100, 1),
            bracketed(nll, 1, 2),
            f"{row.sleep_fet:,.0f}" if slept else "-",
            share(row.estimation_fet / row.sleep_fet) if slept and row.sleep_fet else "-",
            f"{row.sleep_seconds:,.1f}" if slept else "-",
            f"{row.question_fet:,.0f}",
            f"{row.question_seconds:.2f}",
            f"{row.total_fet(found.wish.expected_questions):,.0f}",
        )
        table.add_row(*cells, style="bold" if is_chosen(found, row) else "")
    return table


def is_chosen(found: Tuning, row: Row) -> bool:
    """Whether this way is the recommended one."""
    return row.passes == (None if found.recommendation.way == "context" else found.recommendation.passes)


def bracketed(interval: Interval, factor: float, digits: int) -> str:
    """
    >>> bracketed(Interval(0.31, 0.245, 0.38), 100, 1)
    '31.0 [24.5, 38.0]'
    """
    mean, low, high = (f"{factor * value:.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def plot_tuning(found: Tuning, picture: Path) -> str:
    """Draw scores against the price of the task; returns why it could not be drawn, or nothing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"{picture.name} was not drawn, matplotlib is missing: pip install 'nrem[plot]', then the same command with --resume"
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, found, "f1", 100, "F1, points")
    _draw(right, found, "nll", 1, "NLL of the answers, nats a token (lower is better)")
    names = ", ".join(d["name"] for d in found.about["documents"][:3])
    figure.suptitle(
        f"{names}: {plural(len(found.rows[0].asked), 'question')} at every number of passes",
        x=0.01,
        ha="left",
        color=INK,
        fontweight="bold",
    )
    made = picture.with_name(f".{picture.name}.tmp")
    figure.savefig(made, dpi=160, format="png")
    made.replace(picture)
    return ""


def _draw(axes: Any, found: Tuning, score: str, factor: float, label: str) -> None:
    n = found.wish.expected_questions
    levels = [row for row in found.rows if row.passes is not None]
    means = [factor * found.scores(row)[score].mean for row in levels]
    axes.plot([row.total_fet(n) for row in levels], means, color=FAINT, linewidth=1.5, zorder=1)
    for row in found.rows:
        interval, x = found.scores(row)[score], row.total_fet(n)
        colour = PROMPT if row.passes is None else SLEEP
        y = factor * interval.mean
        around = [[y - factor * interval.low], [factor * interval.high - y]]
        axes.errorbar([x], [y], around, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3, zorder=2)
        axes.scatter([x], [y], s=70, color=colour if is_chosen(found, row) else "white", edgecolors=colour, linewidths=1.5, zorder=3)
        name, left = ("document in\nthe prompt", True) if row.passes is None else (str(row.passes), False)
        place = {"xytext": (-7 if left else 7, 5), "ha": "right" if left else "left"}
        axes.annotate(name, (x, y), **place, textcoords="offset points", color=INK, fontsize=9)
    axes.set(xlabel=f"FET for the sleep and {plural(n, 'question')}", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0, right=1.18 * max(row.total_fet(n) for row in found.rows))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:,.0f}k" if x >= 1000 else f"{x:.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
