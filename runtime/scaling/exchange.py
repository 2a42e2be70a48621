"""Exchange: from how many questions on a sleep is the cheaper way, and how much the smaller model must spend to match the larger one.

Sleep is paid once a document, all else with every question; a larger model is paid at every token. Knows nothing about where points come
from.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.runtime.scaling.points import Point, Run

BINS = ("easy", "middling", "hard")
"""Thirds of the questions, by the NLL of their answers with nothing read."""


@dataclass(frozen=True)
class BreakEven:
    """A sleep against a way without one."""

    sleep: str
    other: str
    questions: float | None
    """A document, from which on the sleep is cheaper; None where it never is."""
    points: Interval
    """What the sleep answers right beyond the other, in points."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Match:
    """The cheapest setting of the smaller model that answers as many of a third of the questions right as the larger one's."""

    bin: str
    large: str
    large_points: float
    large_gflop: float
    """A question, its share of the sleep included."""
    small: str
    """Empty where none does."""
    small_points: float
    small_gflop: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def break_even(runs: Sequence[Run], questions: float = 1) -> list[BreakEven]:
    """The best setting with passes of the smallest model, alone and with text, against each way of any model that sleeps not at all. Of
    equals the cheaper for so many questions a document."""
    own = [p for p in runs[0].points if p.passes]
    sleeps = [best for kept in (False, True) if (best := _best([p for p in own if (p.way != "direct") == kept], questions))]
    others: list[Point] = []
    for run in runs:
        plain = [p for p in run.points if not p.passes and p is not run.floor]
        others += [p for p in plain if p.passes is None]
        others += [best for best in [_best([p for p in plain if p.passes == 0], questions)] if best]
    resampler = QuestionResampler(len(runs[0].floor.right))
    return [BreakEven(s.name, o.name, questions_to_win(s, o), _gain(resampler, s, o)) for s in sleeps for o in others]


def questions_to_win(sleep: Point, other: Point) -> float | None:
    """sleep / (other - mine), a question's prices below the line; None where a question costs no less after the sleep.

    >>> a = Point(model="m", passes=1, way="direct", sleep_gflop=100, question_gflop=2, right=(1,), nll=(0,))
    >>> b = Point(model="m", passes=None, way="direct", sleep_gflop=0, question_gflop=12, right=(1,), nll=(0,))
    >>> questions_to_win(a, b), questions_to_win(b, a)
    (10.0, None)
    """
    saved = other.question_gflop - sleep.question_gflop
    return (sleep.sleep_gflop - other.sleep_gflop) / saved if saved > 0 else None


def matches(small: Run, large: Run, questions: float) -> list[Match]:
    """For every third of the questions: the larger model with nothing read, and at its own best, each beside the cheapest equal."""
    found = []
    for name, numbers in zip(BINS, thirds(small.floor.nll), strict=True):
        best = max(large.points, key=lambda p: (_points_of(p, numbers), -p.gflop(questions)))
        for theirs in dict.fromkeys((large.floor, best)):
            goal = _points_of(theirs, numbers)
            able = [p for p in small.points if _points_of(p, numbers) >= goal]
            mine = min(able, key=lambda p: p.gflop(questions), default=None)
            cost = theirs.gflop(questions) / questions
            mine_cost = mine.gflop(questions) / questions if mine else 0.0
            points = _points_of(mine, numbers) if mine else 0.0
            found.append(Match(name, theirs.name, goal, cost, mine.name if mine else "", points, mine_cost))
    return found


def frontier(points: Sequence[Point], questions: float) -> list[Point]:
    """Points that nothing beats that costs as much or less, cheapest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.gflop(questions), -p.points)):
        if not found or point.points > found[-1].points:
            found.append(point)
    return found


def thirds(nll: Sequence[float]) -> list[list[int]]:
    """The numbers of the questions, from the lowest NLL to the highest."""
    return [part.tolist() for part in np.array_split(np.argsort(nll, kind="stable"), len(BINS))]


def _points_of(point: Point, numbers: Sequence[int]) -> float:
    return 100 * sum(point.right[n] for n in numbers) / max(1, len(numbers))


def _best(points: Sequence[Point], questions: float) -> Point | None:
    """The most right, the cheaper of equals."""
    return max(points, key=lambda p: (p.points, -p.gflop(questions)), default=None)


def _gain(resampler: QuestionResampler, one: Point, other: Point) -> Interval:
    return resampler.difference([100 * r for r in one.right], [100 * r for r in other.right])
