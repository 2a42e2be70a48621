"""Intervals: the same questions drawn again, with replacement, the same draw for every way of answering. Knows nothing about models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean and the middle 95 % of its resamples."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


class Resampler:
    """Bootstrap over so many questions."""

    def __init__(self, count: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._shares = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count

    def mean(self, values: Sequence[float]) -> Interval:
        """The mean of one value a question.

        >>> Resampler(3).mean([2.0, 2.0, 2.0])
        Interval(mean=2.0, low=2.0, high=2.0)
        """
        array = np.asarray(values, dtype=float)
        low, high = np.percentile(self._shares @ array, [2.5, 97.5])
        return Interval(float(array.mean()), round(float(low), 9), round(float(high), 9))

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Interval:
        """The mean of `values - others`, question by question."""
        return self.mean([value - other for value, other in zip(values, others, strict=True)])
