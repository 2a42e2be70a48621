"""Levels under a budget from curves that are known: the steps of their upper concave hulls, taken by gain per FET (Snell 2408.03314).

Exact for concave curves with equal costs, within a step of the optimum else; taken up to the last affordable fraction of a step, the
steps give the optimum of the relaxed problem, which no allocation can exceed, drawn at random or not. Plain numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

ROUNDING = 1e-9
"""Share of a budget that does not count: what is exactly enough for everybody must not leave out the last one."""


@dataclass(frozen=True, kw_only=True)
class HullStep:
    """From one corner of a unit's hull to the next."""

    unit: int
    start: int
    """Level that it begins at."""
    stop: int
    gain: float
    fet: float


def hull_steps(levels: Sequence[int], gains: Sequence[Sequence[float]], costs: Sequence[float]) -> list[HullStep]:
    """The steps of all units that gain, best gain per FET first; `gains` has a row of cumulative gains a unit, `costs` a pass's FET."""
    steps = []
    for unit, (row, cost) in enumerate(zip(gains, costs, strict=True)):
        corners = [0]
        for k in range(1, len(levels)):
            if row[k] <= row[corners[-1]] and len(corners) == 1:
                continue
            while len(corners) > 1 and _slope(levels, row, corners[-2], corners[-1]) <= _slope(levels, row, corners[-1], k):
                corners.pop()
            corners.append(k)
        for a, b in pairwise(corners):
            if row[b] <= row[a]:
                break
            steps.append(HullStep(unit=unit, start=levels[a], stop=levels[b], gain=row[b] - row[a], fet=(levels[b] - levels[a]) * cost))
    return sorted(steps, key=lambda s: (-s.gain / s.fet, s.unit, s.start))


def hull_levels(levels: Sequence[int], gains: Sequence[Sequence[float]], costs: Sequence[float], budget_fet: float) -> list[int]:
    """Every unit's level: steps are taken in order, and one that no longer fits is left out, with all that follow it in its unit."""
    chosen, slack = [0] * len(costs), ROUNDING * budget_fet
    for step in hull_steps(levels, gains, costs):
        if step.start == chosen[step.unit] and step.fet <= budget_fet + slack:
            chosen[step.unit] = step.stop
            budget_fet -= step.fet
    return chosen


def hull_bound(levels: Sequence[int], gains: Sequence[Sequence[float]], costs: Sequence[float], budget_fet: float) -> list[float]:
    """Every unit's gain in the relaxed optimum: steps are taken in order, the last one in part."""
    gained = [0.0] * len(costs)
    for step in hull_steps(levels, gains, costs):
        share = min(1.0, budget_fet / step.fet)
        gained[step.unit] += share * step.gain
        budget_fet -= share * step.fet
        if share < 1.0:
            break
    return gained


def even_levels(costs: Sequence[float], budget_fet: float, most: int) -> list[int]:
    """The same level for all, as high as the budget allows, and one more for the first units, as far as the rest goes."""
    total = sum(costs)
    level = most if budget_fet >= most * total else min(most, int(budget_fet * (1 + ROUNDING) // total))
    chosen, rest = [level] * len(costs), budget_fet - level * total
    for unit, cost in enumerate(costs):
        if level < most and cost <= rest:
            chosen[unit] += 1
            rest -= cost
    return chosen


def _slope(levels: Sequence[int], row: Sequence[float], a: int, b: int) -> float:
    return (row[b] - row[a]) / (levels[b] - levels[a])
