"""A recommendation: which setting is worth its price, in words and by rules that anyone can check. Plain arithmetic over rows.

From the cheapest upwards a dearer setting is taken only if it scores more than the one held so far, beyond the interval of the paired
difference, and if the budget and the price allow it. The score is F1; a point is a hundredth of it. What is compared is the price of the
whole task: the sleep once, and every expected question. A setting that was not asked every question is not recommended.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nrem.consolidation.budget import Budget
from nrem.consolidation.prompts import OWN_WORDING
from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.memory.errors import UsageError
from nrem.runtime.show.night import plural
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.setting import ALONE

FEW = 6
"""Settings among which the best is not so by chance; of more it is said."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the answers are for."""

    expected_questions: int = 20
    """Questions that one sleep will serve."""
    price: float = 0.0
    """FET that a point of F1 is worth over all expected questions; 0 for no price."""
    budget: Budget = field(default_factory=Budget)
    """Most that the sleep and all expected questions may cost together."""

    def __post_init__(self) -> None:
        if self.expected_questions < 1:
            raise UsageError(f"--expected-questions: got {self.expected_questions}, expected 1 or more")
        amounts = {"--price": self.price, "--budget": self.budget.fet, "--budget, seconds": self.budget.seconds}
        if wrong := [name for name, value in amounts.items() if not 0 <= value < math.inf]:  # NaN passes every other comparison
            raise UsageError(f"{wrong[0]}: got {amounts[wrong[0]]}, expected a finite number from 0; 0 for none")
        if self.price and any(self.budget):
            raise UsageError("--price and --budget: got both, expected one of them; a price says what a point is worth, a budget is a cap")

    def allows(self, row: Row) -> bool:
        """Whether the budget pays for the whole task."""
        n = self.expected_questions
        return row.total_fet(n) <= (self.budget.fet or math.inf) and row.total_seconds(n) <= (self.budget.seconds or math.inf)


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do, and why."""

    way: Literal["sleep", "text", "context", "floor"]
    """Sleep; keep the text and search it, with no passes; put the document in the prompt; or nothing of it, since nothing pays."""
    passes: int
    """The best number of passes if one sleeps; 0 where no number pays."""
    sentences: tuple[str, ...]
    answer_way: str = ALONE
    """How to answer then."""
    wording: str = OWN_WORDING
    """In which words to ask."""
    break_even_questions: int | None = None
    """Questions from which on sleeping is cheaper than the document in the prompt; None where it never is, or does not pay at all."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """A row against another one."""

    row: Row
    points: Interval
    fet: float
    """How much more the task costs."""

    def pays(self, wish: Wish) -> bool:
        return not wish.price or self.points.mean * wish.price >= self.fet


def recommend(rows: Sequence[Row], wish: Wish, resampler: QuestionResampler) -> Recommendation:
    """What to do, from the rows of all levels, 0 among them, and of the document in the prompt."""
    n, most = wish.expected_questions, max(len(row.asked) for row in rows)
    tried = sum(row.passes is not None for row in rows)
    rows = [row for row in rows if len(row.asked) == most]
    levels = sorted((row for row in rows if row.passes is not None), key=lambda row: (row.total_fet(n), row.passes or 0))
    context = next(row for row in rows if row.passes is None)

    def step(row: Row, held: Row) -> Step:
        points = resampler.difference([100 * x for x in row.values("f1")], [100 * x for x in held.values("f1")])
        return Step(row, points, row.total_fet(n) - held.total_fet(n))

    held = levels[0]
    for row in levels[1:]:
        if (found := step(row, held)).points.low > 0 and wish.allows(row) and found.pays(wish):
            held = row
    across, even = step(context, held), _break_even(held, context)
    prompt_wins = _prompt_wins(across, wish)
    alike = sorted((row for row in levels if (row.way, row.wording) == (held.way, held.wording)), key=lambda row: row.passes or 0)
    sleeping = [_verdict(held, levels, wish, resampler, tried)]
    sleeping += [_against(step(row, held), held, wish) for row in alike if row.passes != held.passes]
    sleeping += _by_likelihood(alike, held, resampler)
    prompting = _about_context(across, held, even, prompt_wins, wish)
    sentences = prompting + sleeping if prompt_wins else sleeping + prompting
    way: Literal["sleep", "text", "context", "floor"] = "sleep" if held.passes else "floor" if held.way == ALONE else "text"
    return Recommendation(
        way="context" if prompt_wins else way,
        passes=held.passes or 0,
        sentences=tuple(sentences),
        answer_way=held.way,
        wording=held.wording,
        break_even_questions=even,
    )


def _verdict(held: Row, levels: Sequence[Row], wish: Wish, resampler: QuestionResampler, tried: int) -> str:
    points = resampler.mean([100 * x for x in held.values("f1")])
    n = plural(wish.expected_questions, "question")
    price = f"at {wish.price:,.0f} FET a point" if wish.price else _budget(wish)
    if held.passes:
        total = f"{held.total_fet(wish.expected_questions):,.0f} FET for the sleep and {n}"
        said = f"{held.name}{', ' + price if price else ''}: F1 {points.mean:.1f} ({points.low:.1f} to {points.high:.1f}), {total}"
        return said if tried <= FEW else f"{said}; the best of {tried} on these questions, so expect less of it on others"
    if not any(wish.allows(row) for row in levels):
        return f"sleeping does not pay {price}: not even {n} without a document fit, they cost {_total(held, wish)}"
    said = f"sleeping does not pay{' ' + price if price else ''}: no number of passes that was tried earns its cost over {held.name}"
    return said if held.way == ALONE else f"{said}, F1 {points.mean:.1f} ({points.low:.1f} to {points.high:.1f})"


def _against(step: Step, held: Row, wish: Wish) -> str:
    """One other level beside the one that is recommended: "8 passes cost 2.0 times as much for +0.3 points ..."."""
    n, row = wish.expected_questions, step.row
    said = f"{row.name} cost{'s' if row.passes == 1 else ''} {_times(row, held, n)} for {_points(step)}"
    if row.rolled_back:
        said += f", {plural(row.rolled_back, 'sleep')} rolled back by the guard"
    cheaper = step.fet < 0
    if step.points.low <= 0 <= step.points.high and not cheaper:
        return f"{said}: within the interval, so the cheaper is recommended"
    if cheaper or step.points.high < 0:
        return said
    if not wish.allows(row):
        return f"{said}: {_total(row, wish)}, more than the budget"
    return f"{said}: more than the price allows" if not step.pays(wish) else said


def _by_likelihood(levels: Sequence[Row], held: Row, resampler: QuestionResampler) -> list[str]:
    """Where the answers' likelihood, which moves sooner than F1, says that another level is better."""
    best = levels[0]
    for row in levels[1:]:
        if resampler.difference(best.values("nll"), row.values("nll")).low > 0:
            best = row
    if best.passes == held.passes:
        return []
    gain = resampler.difference(held.values("nll"), best.values("nll"))
    if gain.low <= 0:
        return []
    return [
        f"in answer NLL, which moves sooner than F1, {best.name} {'is' if best.passes == 1 else 'are'} better than {held.name} "
        f"by {gain.mean:.2f} nats a token ({gain.low:.2f} to {gain.high:.2f}); more questions would say whether F1 follows"
    ]


def _prompt_wins(across: Step, wish: Wish) -> bool:
    """Whether the document in the prompt is the better buy: cheaper and not worse, or better by more than it costs more."""
    if not wish.allows(across.row):
        return False
    if across.fet <= 0:
        return across.points.high >= 0
    return across.points.low > 0 and (any(wish.budget) or bool(wish.price and across.pays(wish)))


def _about_context(across: Step, held: Row, even: int | None, wins: bool, wish: Wish) -> list[str]:
    n = plural(wish.expected_questions, "question")
    times = _times(across.row, held, wish.expected_questions)
    said = f"the document in the prompt costs {times} for {n}, {_points(across)}"
    if wins:
        said = f"put the document in the prompt: for {n} it costs {times} as {held.name}, for {_points(across)}"
    elif not wish.allows(across.row):
        said += ", more than the budget"
    sentences = [said]
    if held.passes and even is not None:
        sentences.append(f"sleeping is the cheaper way from {plural(even, 'question')} on")
    elif held.passes:
        sentences.append("sleeping is never the cheaper way: the prompt with the document costs no more a question")
    if across.row.cut:
        sentences.append("the document is too long for the prompt, so its middle was left out there")
    return sentences


def _break_even(held: Row, context: Row) -> int | None:
    saved = context.question_fet - held.question_fet
    return math.ceil(held.sleep_fet / saved) if held.passes and saved > 0 else None


def _times(row: Row, held: Row, questions: int) -> str:
    times = row.total_fet(questions) / held.total_fet(questions)
    return f"{times:.1f} times as much" if times >= 1 else f"{times:.2g} times as much"


def _points(step: Step) -> str:
    return f"{step.points.mean:+.1f} points ({step.points.low:+.1f} to {step.points.high:+.1f})"


def _total(row: Row, wish: Wish) -> str:
    n = wish.expected_questions
    return f"{row.total_seconds(n):,.1f} s" if wish.budget.seconds else f"{row.total_fet(n):,.0f} FET"


def _budget(wish: Wish) -> str:
    if wish.budget.fet:
        return f"within {wish.budget.fet:,.0f} FET"
    return f"within {wish.budget.seconds:,.0f} s" if wish.budget.seconds else ""
