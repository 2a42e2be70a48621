"""The ceiling: how many passes still pay on this model with this protocol, from measured curves.

Passes pay only where a protocol was trained so that they pay; beyond some depth they stop, or do harm. What a level gave a chunk is how
far the answer NLL of its own probes fell, less what the same fast weights gave another document's probes: that much is the manner of
answering, and nothing of the text. Knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.resample import Resampler, drawn_by, interval
from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.validated import STRICT, validated

Verdict = Literal["productive", "saturated", "harmful"]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a level gave beyond the level before it, nats per answer token, with the 95 % interval of a bootstrap."""

    __pydantic_config__ = STRICT

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What was measured, and what follows from it."""

    __pydantic_config__ = STRICT

    levels: tuple[int, ...]
    nll: tuple[float, ...]
    """Mean answer NLL of the probes at each level."""
    control: tuple[float, ...]
    """The same of another document's probes."""
    recall: tuple[float, ...]
    gains: tuple[Gain, ...]
    """Of every level but the first."""
    n_star: int
    """The deepest level up to which every step still gained; allocation stops there unless it is told to go on."""
    verdict: Verdict
    chunks: int
    resampled: str
    """What the intervals are over: documents or chunks."""

    def __post_init__(self) -> None:
        count = len(self.levels)
        if not count == len(self.nll) == len(self.recall) == len(self.gains) + 1 or len(self.control) not in (0, count):
            raise ValueError("there must be a value for every level")
        if self.n_star not in self.levels or min(self.levels) < 0:
            raise ValueError("n_star must be one of the levels, which are numbers of passes")

    @classmethod
    def of(cls, table: CurveTable, seed: int = 0) -> Self:
        """`productive` where the first step's interval lies above 0, `harmful` where it lies below, else `saturated`."""
        gains = np.array([[_specific(c, i) - _specific(c, i - 1) for i in range(1, len(table.levels))] for c in table.curves])
        whole, groups = drawn_by([c.document for c in table.curves])
        resampler = Resampler(groups, seed)
        found = tuple(_gain(step.tolist(), groups, resampler) for step in gains.T)
        paid = next((i for i, gain in enumerate(found) if gain.low <= 0), len(found))
        verdict: Verdict = "productive" if paid else "harmful" if found[0].high < 0 else "saturated"
        return cls(
            levels=table.levels,
            nll=_means([c.nll for c in table.curves]),
            control=_means([c.control for c in table.curves]),
            recall=_means([c.recall for c in table.curves]),
            gains=found,
            n_star=table.levels[paid],
            verdict=verdict,
            chunks=len(table.curves),
            resampled="documents" if whole else "chunks",
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return json_text(self.to_dict())

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where`, for what is not a ceiling."""
        try:
            return validated(cls, text)
        except ValueError as error:
            raise MemoryFolderError(f"{where}: not a ceiling ({error}); measure it again with nrem ceiling") from None


def _gain(values: Sequence[float], groups: Sequence[str], resampler: Resampler) -> Gain:
    ends = interval(resampler.means(values, groups))
    assert ends is not None, "every draw has a group"
    return Gain(mean=float(np.mean(values)), low=ends[0], high=ends[1])


def _specific(curve: Curve, index: int) -> float:
    """What a level gave beyond the manner of answering, which a memory of another document teaches as well."""
    manner = max(0.0, curve.control[0] - curve.control[index]) if curve.control else 0.0
    return curve.gain(index) - manner


def _means(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(float(x) for x in np.mean(np.array(rows), axis=0))
