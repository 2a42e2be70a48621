"""What a person sees of a tuning run: a table of all settings, the recommendation, the verdicts.

Knows nothing about how it was measured.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nrem.consolidation.prompts import OWN_WORDING
from nrem.consolidation.resample import Interval
from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.night import plural, share
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.tune import Tuning


def tuning_report(out: Console, found: Tuning, documents: Sequence[str], folder: Path) -> None:
    """Print it all; documents and folder as the user named them."""
    out.print(tuning_table(found))
    for n, wording in enumerate(_wordings(found)[1:], 2):
        out.print(f"wording {n}: {wording}", style="dim", markup=False)
    most = max(len(row.asked) for row in found.rows)
    out.print(f"in brackets: middle 95 % of resamples over {plural(most, 'question')}; sleep: once, for all questions", style="dim")
    if found.answers_share < 0.995:
        said = f"settings with fewer questions were dropped on the way: {share(found.answers_share)} of the price of all answers was spent"
        out.print(said, style="dim")
    first, *rest = found.recommendation.sentences
    out.print(f"\n{first}", style="bold", markup=False)
    for sentence in rest:
        out.print(f"  {sentence}", markup=False)
    for sentence in found.verdicts:
        out.print(f"  {sentence}", markup=False)
    if found.searched:
        out.print(f"  {found.searched.sentence}", markup=False)
    out.print(f"\nuse it: {use_it(found, documents, folder)}", markup=False)


def use_it(found: Tuning, documents: Sequence[str], folder: Path) -> str:
    """What to do now, in a line."""
    if found.recommendation.way == "context":
        return "put the document in the prompt"
    if found.recommendation.way == "floor":
        return "ask without sleeping, or tune again with more questions or other levels"
    by = ["--config", str(folder / "config.toml")]
    slept = shlex.join(["nrem", "sleep", *documents, *by, "-o", "memories/NAME"])
    asked = shlex.join(["nrem", "ask", "memories/NAME", "QUESTION", *by])
    return f"{slept}, then {asked}, which answers by {found.recommendation.answer_way}"


def tuning_table(found: Tuning) -> Table:
    """A row a setting; the recommended one is bold. Columns that say the same of all are left out."""
    questions, wordings = plural(found.wish.expected_questions, "question"), _wordings(found)
    most = max(len(row.asked) for row in found.rows)
    partial = any(len(row.asked) < most for row in found.rows)
    scores = (">F1, points", ">exact, points", ">answer NLL")
    more = [*(["wording"] if len(wordings) > 1 else []), *([">asked"] if partial else [])]
    table = plain_table("", "way", *more, *scores, ">sleep FET", ">estimation", ">s", ">question FET", ">s", f">FET for {questions}")
    for row in found.rows:
        f1, em, nll = (found.scores(row)[name] for name in ("f1", "em", "nll"))
        slept = bool(row.passes)
        cells = (
            "document in the prompt" if row.passes is None else plural(row.passes, "pass", "passes"),
            "" if row.passes is None else row.way,
            *([str(wordings.index(row.wording) + 1)] if len(wordings) > 1 else []),
            *([str(len(row.asked))] if partial else []),
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


def _wordings(found: Tuning) -> list[str]:
    """The protocol's own first."""
    return list(dict.fromkeys((OWN_WORDING, *(row.wording for row in found.rows))))


def is_chosen(found: Tuning, row: Row) -> bool:
    """Whether this way is the recommended one."""
    said = found.recommendation
    if said.way == "context":
        return row.passes is None
    return (row.passes, row.way, row.wording) == (said.passes, said.answer_way, said.wording)


def bracketed(interval: Interval, factor: float, digits: int) -> str:
    """
    >>> bracketed(Interval(0.31, 0.245, 0.38), 100, 1)
    '31.0 [24.5, 38.0]'
    """
    mean, low, high = (f"{factor * value:.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"
