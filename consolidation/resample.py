"""Bootstrap intervals for everything that is measured: ceilings, tuning, benchmarks. Knows nothing about what the values are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import fmean

import numpy as np

RESAMPLES = 2000
FEW_DOCUMENTS = 8
"""Below this many documents their parts are drawn one by one instead: an interval over two or three documents says nothing."""


def drawn_by(documents: Sequence[str]) -> tuple[bool, list[str]]:
    """Of values that belong to these documents, what is drawn together: whole documents, and True, or each value by itself.

    >>> drawn_by(["a", "a"])
    (False, ['000000000', '000000001'])
    """
    if len(set(documents)) >= FEW_DOCUMENTS:
        return True, list(documents)
    return False, [f"{number:09d}" for number in range(len(documents))]


class Resampler:
    """Bootstrap over groups: whole documents (or stories) are drawn with replacement, the same draw for every arm."""

    def __init__(self, groups: Sequence[str], seed: int = 0) -> None:
        self.names = sorted(set(groups))
        rng = np.random.default_rng(seed)
        self._draws = rng.multinomial(len(self.names), np.full(len(self.names), 1 / len(self.names)), size=RESAMPLES)

    def sums(self, values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
        """The sum of `values` in every resample, each value counted as often as its group was drawn."""
        place = {name: i for i, name in enumerate(self.names)}
        sums = np.zeros(len(self.names))
        for value, group in zip(values, groups, strict=True):
            sums[place[group]] += value
        return np.asarray(self._draws @ sums)

    def means(self, values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
        """The mean of `values` in every resample; NaN where none was drawn."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sums(values, groups) / self.sums([1.0] * len(groups), groups)


def interval(resampled: np.ndarray) -> list[float] | None:
    """The middle 95 % of the resamples that have a value; None where none has."""
    kept = resampled[np.isfinite(resampled)]
    return [float(x) for x in np.percentile(kept, [2.5, 97.5])] if len(kept) else None


@dataclass(frozen=True)
class Interval:
    """A mean and the middle 95 % of its resamples."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


class QuestionResampler:
    """The same for `count` questions that are drawn one by one: the same draw for every way of answering."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self._questions = [f"{number:09d}" for number in range(count)]
        self._drawn = Resampler(self._questions, seed)

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, count: int) -> "QuestionResampler":
        """The one for so many questions, drawn once."""
        return cls(count)

    def mean(self, values: Sequence[float]) -> Interval:
        """The mean of one value a question.

        >>> QuestionResampler(3).mean([2.0, 2.0, 2.0])
        Interval(mean=2.0, low=2.0, high=2.0)
        """
        ends = interval(self._drawn.means(values, self._questions))
        assert ends is not None, "every question is a group of its own, so every draw has a mean"
        return Interval(fmean(values), round(ends[0], 9), round(ends[1], 9))

    def difference(self, values: Sequence[float], others: Sequence[float]) -> Interval:
        """The mean of `values - others`, question by question."""
        return self.mean([value - other for value, other in zip(values, others, strict=True)])
