"""Uniform: the same number of passes for every chunk, the control for everything that chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nrem.consolidation.allocate.allocator import Allocator, Exit, Looks, Progress, Terms
from nrem.consolidation.allocate.curves import CurveTable


@dataclass(frozen=True, kw_only=True)
class Uniform(Allocator):
    """All get the same."""

    passes: int
    looks: Looks = "none"

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> Self:
        return cls(passes=terms.passes)

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        return {p.chunk: "cap" for p in active if p.passes >= self.passes}
