"""What a protocol has learned for its write rule: the interface through which protocols are trained, measured, saved and slept with.

One implementation for each rule: `ridge`, `keyed`, `delta`, `descent`. Knows nothing about optimisers, files or sleeps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from nrem.consolidation.write.reading import Reading
from nrem.consolidation.write.site import AnySite, Site, Sites
from nrem.memory.weights.fast_weights import FastWeights

SCRIBE = "_scribe."
"""What the names of the scribe's parameters begin with; the rest is that of a reader's."""
READER_SEED = 0
"""Of the readers' A, which training starts from."""


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
    readers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(d_in, d_out) of the modules that carry only a static reader."""
    scribe_rank: int = 0
    """Of the scribe, which is on beside the reader while texts are read to be written; 0 for none."""


class LearnedWrite(Sites[AnySite], ABC):
    """A learned way to write texts into fast weights."""

    separable: ClassVar[bool] = False
    """Whether what each chunk has written is kept apart, so that a question can be answered from some of them."""
    segment_chunks: ClassVar[int] = 0
    """Chunks of an adapter before `benchmarks.capacity` has measured a protocol; 0: as many as were written together in training."""
    question_chunks: ClassVar[int] = 0
    """Most chunks that a question is answered from, where they are kept apart; 0 for all of an adapter."""
    steps_by_pass: ClassVar[bool] = False
    """Whether every pass up to the trained depth has parameters of its own."""

    def __init__(self, sizes: Sizes, sites: list[AnySite]) -> None:
        generator = torch.Generator().manual_seed(READER_SEED)
        readers = {name: Site(i, o, sizes.reader_rank, generator) for name, (i, o) in sizes.readers.items()}
        super().__init__(list(sizes.modules), sites, readers)
        self.sizes = sizes
        scribe = [Site(site.d_in, site.d_out, sizes.scribe_rank, generator) for _, site in self.everywhere() if sizes.scribe_rank]
        self._scribe = nn.ModuleList(scribe)

    @classmethod
    @abstractmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> "LearnedWrite[AnySite]":
        """Parameters that have learned nothing yet."""

    @abstractmethod
    def write(self, reading: Reading, passes: int) -> dict[str, Any]:
        """What every memory has written at every site after `passes`, at least one, in the form that the site's `change` takes;
        differentiable as `reading.order` says."""

    @property
    def rank(self) -> int:
        """Columns of B that are written."""
        return self.sizes.rank

    @property
    def reader_rank(self) -> int:
        """Columns of B in front of them that belong to the static reader."""
        return self.sizes.reader_rank

    @property
    def scribe(self) -> dict[str, Site]:
        """What texts are read with, beside the reader, in order to be written: by module; empty where there is none. Questions never meet
        it, so that it may make of a text's tokens what a question about them will look for."""
        if not self.sizes.scribe_rank:
            return {}
        return dict(zip((name for name, _ in self.everywhere()), cast(Sequence[Site], self._scribe), strict=True))

    @property
    def learns_to_read(self) -> bool:
        """Whether the scribe is being trained, so that gradients run through what a first pass reads."""
        return any(p.requires_grad for p in self._scribe.parameters())

    @property
    def scribe_weights(self) -> int:
        """Parameters of the scribe."""
        return sum(p.numel() for p in self._scribe.parameters())

    def hold_reader(self) -> None:
        """Leave the static reader as it is when the rest is trained."""
        for p in self.reader_parameters():
            p.requires_grad_(False)

    def hold_scribe(self) -> None:
        """Leave the scribe as it is when the rest is trained."""
        self._scribe.requires_grad_(False)

    def hold_write(self) -> None:
        """Leave all but the static reader as it is when that is trained; the scribe, too, which is of no use but to write."""
        for name, p in self.named_parameters():
            if not name.rpartition(".")[2].startswith("reader_") or name.startswith(SCRIBE):
                p.requires_grad_(False)

    @property
    def error_vocabulary(self) -> int:
        return self.sizes.error_vocabulary

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        """Measure what enters the modules when ordinary text is read, (token d_in) each, where the rule goes by it; differentiable."""

    def take_units(self, units: Mapping[str, float]) -> None:
        """Write in units of what the modules put out on ordinary text, where the rule goes by it; for parameters that begin anew."""

    def fast_weights(self, transposed: bool = False) -> FastWeights:
        """A plain LoRA that holds the reader, and nothing written yet."""
        return FastWeights({name: site.factors() for name, site in self.everywhere()}, transposed)
