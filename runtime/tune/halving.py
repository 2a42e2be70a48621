"""Sequential halving: the best of many settings, without measuring all of them on everything. Plain arithmetic over a bank of outcomes.

    round: ask all that are left the same further questions, until each was asked c / (settings left) of them; drop the worst third

with c such that the rounds use up the budget. Source: PSST (arXiv 2508.10030), with the schedule of successive rejects (Audibert, Bubeck,
COLT 2010): what a round judges by is in inverse proportion to the settings that it judges. Equal parts of the budget do that where answers
of earlier rounds are thrown away; here they are kept, and equal parts would judge the first round, in which most can be lost, by too few.
As in PSST, of a family, settings that differ only in how many draws they put together, the one with the most is asked, and what it drew
serves the others (nested reuse; where answers are not kept draw by draw, each is a family of its own); every outcome serves every price
(`worths`); what a round leaves over goes to the next. Unlike there all settings are asked the same questions, in one order: how hard a
question is drops out of the comparison. Nothing that is in the bank is measured again, or paid for again. Knows nothing about models.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)
S_contra = TypeVar("S_contra", bound=Hashable, contravariant=True)


class Sample(NamedTuple):
    """What one answer was worth, and what it cost."""

    score: float
    fet: float


class Outcomes(Protocol[S_contra]):
    """A bank: what is known, and a way to know more."""

    def samples(self, setting: S_contra, question: int) -> Sequence[Sample]:
        """What is known of a setting on a question: none, one, or several where more draws were made than it needs."""

    def ask(self, setting: S_contra, questions: Sequence[int]) -> float:
        """Measure a setting on these questions; what is known is left as it is. Returns the FET that it took."""


Worth = Callable[[S, float, float], float]
"""(setting, mean score, mean FET of an answer) -> what it is worth to someone; more is better."""


@dataclass(frozen=True)
class Halved(Generic[S]):
    """What was found."""

    best: tuple[S, ...]
    """One setting for each of `worths`."""
    finalists: tuple[S, ...]
    """The last that were left, some four for each of `worths`, best first."""
    fet: float
    """What was spent on answers."""
    questions: tuple[int, ...]
    """How many questions those that were left had been asked, round by round."""


def halve(
    families: Sequence[Sequence[S]],
    outcomes: Outcomes[S],
    order: Sequence[int],
    budget: float,
    worths: Sequence[Worth[S]],
    tell: Callable[[str], None] = lambda text: None,
) -> Halved[S]:
    """The best setting for each of `worths`, for about `budget` FET.

    A family is settings that draw the same, fewest draws first; a setting that shares nothing is a family of its own. `order` is the order
    in which questions are asked. The budget is kept as far as prices can be told from the answers before; the first `FIRST` questions are
    asked of everything whatever it is.
    """
    everything = [setting for family in families for setting in family]
    left = [list(everything) for _ in worths]
    parts, means = budget_parts(len(everything)), _Means(outcomes, order)
    finalists: list[list[S]] = [[] for _ in worths]
    spent, asked, counts = 0.0, 0, []
    for number, part in enumerate(parts, 1):
        alive = {setting for some in left for setting in some}
        pulled = [next(s for s in reversed(family) if s in alive) for family in families if alive & set(family)]
        if not asked:
            asked = min(FIRST, len(order))
            spent += _ask(outcomes, pulled, order[:asked])
        more = _affordable(outcomes, pulled, order, asked, budget * part - spent)
        tell(f"round {number} of {len(parts)}: {len(alive)} settings, {asked + more} questions")
        spent += _ask(outcomes, pulled, order[asked : asked + more])
        asked += more
        counts.append(asked)
        ranked = [sorted(some, key=partial(means.rank, worth, asked)) for some, worth in zip(left, worths, strict=True)]
        finalists = [last or (some if len(some) <= FINALISTS else []) for last, some in zip(finalists, ranked, strict=True)]
        left = [some[: _fewer(len(some))] for some in ranked]
    last = dict.fromkeys(setting for some in (*left, *finalists) for setting in some)
    return Halved(tuple(some[0] for some in left), tuple(last) if parts else tuple(everything), spent, tuple(counts))


FIRST = 4
"""Questions that everything is asked, to know prices and to rank anything: of two questions a difference would have to be 12.7 standard
errors large to be one (t quantile of 97.5 %), of three 4.3, of four 3.2, of many 2.0."""
FINALISTS = 4
DROPPED = 3
"""One of so many settings that are left is dropped in a round."""


def budget_parts(settings: int) -> list[float]:
    """For each round the part of the budget that is spent by its end.

    Asked n = c / left questions in all, a round costs (n - n before) left = c (1 - left / left before), and the first one c.

    >>> [round(part, 2) for part in budget_parts(6)]
    [0.52, 0.7, 0.83, 1.0]
    """
    judged = []
    while settings > 1:
        judged.append(settings)
        settings = _fewer(settings)
    prices = [1.0, *(1 - after / before for before, after in pairwise(judged))]
    return [part / sum(prices) for _, part in zip(judged, accumulate(prices), strict=False)]


def _fewer(settings: int) -> int:
    """What a round leaves of so many settings, never none.

    >>> [_fewer(n) for n in (18, 12, 3, 2, 1)]
    [12, 8, 2, 1, 1]
    """
    return max(1, settings - max(1, settings // DROPPED))


def _ask(outcomes: Outcomes[S], settings: Sequence[S], questions: Sequence[int]) -> float:
    return sum(outcomes.ask(setting, questions) for setting in settings) if questions else 0.0


def _affordable(outcomes: Outcomes[S], settings: Sequence[S], order: Sequence[int], asked: int, budget: float) -> int:
    """How many questions more can be asked of all of these; those that are in the bank cost nothing."""
    prices = {s: fmean(sum(x.fet for x in outcomes.samples(s, q)) for q in order[:asked]) for s in settings}
    for count, question in enumerate(order[asked:]):
        budget -= sum(price for setting, price in prices.items() if not outcomes.samples(setting, question))
        if budget < 0:
            return count
    return len(order) - asked


class _Means(Generic[S]):
    """What every setting was worth so far, each question looked up once: in the order of the questions nothing that is known changes."""

    def __init__(self, outcomes: Outcomes[S], order: Sequence[int]) -> None:
        self.outcomes, self.order = outcomes, order
        self._known: dict[S, tuple[list[float], list[float]]] = {}

    def rank(self, worth: Worth[S], asked: int, setting: S) -> tuple[float, float]:
        """The lower, the better: of equals the cheaper comes first, then the one that was named first."""
        scores, fets = self._known.setdefault(setting, ([], []))
        for question in self.order[len(scores) : asked]:
            some = self.outcomes.samples(setting, question)
            scores.append(sum(x.score for x in some) / len(some))
            fets.append(sum(x.fet for x in some) / len(some))
        fet = fmean(fets)
        return (-worth(setting, fmean(scores), fet), fet)
