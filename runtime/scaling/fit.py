"""The trade between axes, fitted: how the odds of a right answer grow with passes, rounds of search, thought and votes.

    logit P(right) = a + sum over axes of b ln(1 + amount) + c ln(1 + passes) ln(1 + rounds) + d difficulty

The product says whether sleep and search replace one another (c below 0) or help one another. Difficulty is the NLL of the right answer
with nothing read, standardised. Knows nothing about where points come from.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nrem.consolidation.resample import interval
from nrem.runtime.scaling.points import Point
from nrem.runtime.wake.router import fit_logistic
from nrem.runtime.wake.ways import parse_way

AGAIN = "again"
AXES = {"passes": "", "rounds of search": "search", "tokens of thought": "think", "further votes": "vote"}
"""What is spent, and the way whose amount it is."""
RESAMPLES = 200
L2 = 0.5
"""Penalty on the slopes, in answers."""


@dataclass(frozen=True)
class Slope:
    """What e times as much of an axis adds to the log-odds, middle 95 % of resamples by question."""

    name: str
    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fit_trade(points: Sequence[Point], difficulty: Sequence[float], seed: int = 0) -> list[Slope]:
    """A slope for each axis that the points of one model vary, the product of passes and rounds among them, and difficulty's. What sleeps
    again for a question spends on no axis that the others share, and is left out."""
    points = [p for p in points if p.passes is not None and parse_way(p.way).name != AGAIN]
    hard = np.array(difficulty)
    hard = (hard - hard.mean()) / max(float(hard.std()), 1e-9)
    spent = np.array([_spent(p) for p in points])  # (point, axis)
    used = [i for i in range(spent.shape[1]) if np.ptp(spent[:, i]) > 0]
    design = np.array([[[*row[used], h] for h in hard] for row in spent])  # (point, question, term)
    right = np.array([p.right for p in points])
    names = [name for i, name in enumerate([*AXES, "passes x rounds"]) if i in used] + ["difficulty"]

    def slopes(questions: np.ndarray) -> np.ndarray:
        drawn = design[:, questions].reshape(-1, design.shape[2])
        return fit_logistic(drawn, right[:, questions].reshape(-1), L2)[1]

    count = right.shape[1]
    whole = slopes(np.arange(count))
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, count, size=(RESAMPLES, count))
    resampled = np.array([slopes(np.asarray(draw)) for draw in draws])
    ends = [interval(resampled[:, i]) or [0.0, 0.0] for i in range(len(names))]
    return [Slope(name, float(value), *end) for name, value, end in zip(names, whole, ends, strict=True)]


def _spent(point: Point) -> list[float]:
    """ln(1 + amount) of every axis, and the product of passes and rounds."""
    amounts = [float(point.passes or 0), *(float(point.amount(way)) for way in list(AXES.values())[1:])]
    logs = [float(np.log1p(amount)) for amount in amounts]
    return [*logs, logs[0] * logs[1]]
