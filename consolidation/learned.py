"""What a protocol has learned for its write rule: the interface through which protocols are trained, measured, saved and slept with.

One implementation for each rule: `ridge`, `delta`, `descent`. Knows nothing about optimisers, files or sleeps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nrem.consolidation.reading import Reading
from nrem.consolidation.site import AnySite, Sites
from nrem.memory.fast_weights import Factors, FastWeights


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """All that the shapes of learned parameters follow from."""

    modules: Mapping[str, tuple[int, int]]
    """(d_in, d_out) of every adapted module, by its full name."""
    d_model: int
    rank: int
    reader_rank: int
    error_vocabulary: int = 0
    """Tokens over which expectations run when errors and losses are taken; 0 for all."""
    max_passes: int = 1
    """Passes that get a step size of their own, in the gradient rule."""


class LearnedWrite(Sites[AnySite], ABC):
    """A learned way to write texts into fast weights."""

    def __init__(self, sizes: Sizes, sites: list[AnySite]) -> None:
        super().__init__(list(sizes.modules), sites)
        self.sizes = sizes

    @classmethod
    @abstractmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> "LearnedWrite[AnySite]":
        """Parameters that have learned nothing yet."""

    @abstractmethod
    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        """B of every site, (memory out rank), after so many passes, at least one; differentiable as `reading.order` says."""

    @property
    def rank(self) -> int:
        """Columns of B that are written."""
        return self.sizes.rank

    @property
    def reader_rank(self) -> int:
        """Columns of B in front of them that belong to the static reader."""
        return self.sizes.reader_rank

    @property
    def error_vocabulary(self) -> int:
        return self.sizes.error_vocabulary

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        """Measure what enters the modules when ordinary text is read, (token d_in) each, where the rule goes by it; differentiable."""

    def fast_weights(self, transposed: bool = False) -> FastWeights:
        """Reader and an empty written part side by side: one plain LoRA of rank reader_rank + rank."""
        factors = {}
        for name, site in self.items():
            A = torch.cat([site.reader_A, site.A]).detach().clone()
            B = torch.cat([site.reader_B, torch.zeros(site.d_out, site.rank, device=A.device)], 1).detach().clone()
            factors[name] = Factors(A, B)
        return FastWeights(factors, self.reader_rank + self.rank, transposed)
