"""Curves: what each number of passes gave each chunk, measured once; what ceilings, calibrated allocators and benchmarks are computed from.

A curve runs from nothing written to the deepest level that was measured. Plain values; knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.record import ChunkRecord
from nrem.memory.saved.validated import STRICT, validated


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One chunk at every level."""

    __pydantic_config__ = STRICT

    document: str
    """Chunks of one document are drawn together when they are resampled."""
    chunk: int
    nll: tuple[float, ...]
    """Answer NLL at each level, nats per token."""
    recall: tuple[float, ...]
    """Share of the questions that were recalled, at each level."""
    pass_fet: float
    """What one pass over it costs."""
    num_probes: int
    control: tuple[float, ...] = ()
    """Answer NLL of another document's questions under the same fast weights, at each level; empty where it was not measured."""
    signals: dict[str, float] = field(default_factory=dict)
    """What was known before the first pass, by name."""
    label: str = ""
    """Its kind, where the data say so."""

    def gain(self, index: int) -> float:
        """By how much the answer NLL at a level (by position) lies below that of nothing written."""
        return self.nll[0] - self.nll[index]


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """The curves of some chunks at the same levels, which begin with 0."""

    __pydantic_config__ = STRICT

    levels: tuple[int, ...]
    curves: tuple[Curve, ...]

    def __post_init__(self) -> None:
        count = len(self.levels)
        if self.levels[:1] != (0,) or list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels must rise from 0, nothing written")
        if not all(len(c.nll) == len(c.recall) == count and len(c.control) in (0, count) for c in self.curves):
            raise ValueError("a curve must have a value for every level")

    def to_json(self) -> str:
        return json_text(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where`, for what is not such a table."""
        try:
            return validated(cls, text)
        except ValueError as error:
            raise MemoryFolderError(f"{where}: not a table of curves ({error}); measure it again with nrem ceiling") from None

    @classmethod
    def of_chunks(cls, chunks: Sequence[ChunkRecord], levels: Sequence[int], label: str = "") -> Self:
        """From memories whose chunks all got as many passes as the last level, and were looked at after each of `levels`; chunks without
        probes say nothing and are left out."""
        curves = []
        for c in chunks:
            if not c.num_probes:
                continue
            at = {passes: number for number, passes in enumerate(c.looked_at)}  # of two looks at a level the later one counts
            curves.append(
                Curve(
                    document=c.document,
                    chunk=c.index,
                    nll=tuple(c.nll[at[level]] for level in levels),
                    recall=tuple(c.recall[at[level]] for level in levels),
                    pass_fet=c.pass_fet,
                    num_probes=c.num_probes,
                    signals={"num_tokens": float(c.num_tokens), **c.signals, "nll_before": c.nll[0], "recall_before": c.recall[0]},
                    label=label,
                )
            )
        return cls(levels=tuple(levels), curves=tuple(curves))
