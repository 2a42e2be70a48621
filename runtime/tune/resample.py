"""Intervals: the same questions drawn again, with replacement, the same draw for every way of answering. Knows nothing about models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from nrem.consolidation import resample


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
        self._questions = [f"{number:09d}" for number in range(count)]
        self._drawn = resample.Resampler(self._questions, seed)

    def mean(self, values: Sequence[float]) -> Interval:
        """The mean of one value a question.

        >>> Resampler(3).mean([2.0, 2.0, 2.0])
        Interval(mean=2.0, low=2.0, high=2.0)
        """
        ends = resample.interval(self._drawn.means(values, self._questions))
        assert ends is not None, "every question is a group of its own, so every draw has a mean"
        return Interval(fmean(values), round(ends[0], 9), round(ends[1], 9))

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Interval:
        """The mean of `values - others`, question by question."""
        return self.mean([value - other for value, other in zip(values, others, strict=True)])
