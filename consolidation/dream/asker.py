"""The asker: a static LoRA with which a base model asks about what it has just read. Learned once per base model, beside its protocol.

Knows nothing about texts or how it is trained.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from nrem.consolidation.write.site import Site, Sites

SEED = 0


class Asker(Sites[Any]):
    """A low-rank change of each module, the same for all texts; `lent` attaches it as it does a static reader."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]], rank: int) -> None:
        """(d_in, d_out) of every adapted module by its full name; changes nothing to begin with."""
        generator = torch.Generator().manual_seed(SEED)
        super().__init__([], [], {name: Site(d_in, d_out, rank, generator) for name, (d_in, d_out) in shapes.items()})
        self.rank = rank

    @classmethod
    def like(cls, sites: Sites[Any], rank: int) -> Self:
        """An asker that begins as a protocol's static reader, which already knows how questions and answers look."""
        asker = cls({name: (site.d_in, site.d_out) for name, site in sites.everywhere()}, rank)
        for (_, mine), (_, theirs) in zip(asker.everywhere(), sites.everywhere(), strict=True):
            mine.take_reader(theirs.reader_A.detach(), theirs.reader_B.detach())
        return asker

    def tensors(self) -> dict[str, Tensor]:
        """As they are saved: `module.reader_A` and `.reader_B` of every module, bfloat16."""
        named = {f"{name}.{key}": p for name, site in self.everywhere() for key, p in site.named_parameters()}
        return {name: p.detach().to("cpu", torch.bfloat16).contiguous() for name, p in named.items()}

    @property
    def sha256(self) -> str:
        """Hash of what `tensors` gives: what is dreamt follows from it."""
        digest = hashlib.sha256()
        for name, tensor in self.tensors().items():
            digest.update(name.encode() + tensor.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Self:
        """What `tensors` gave."""
        names = [name.removesuffix(".reader_A") for name in tensors if name.endswith(".reader_A")]
        shapes = {name: (tensors[f"{name}.reader_A"].shape[1], len(tensors[f"{name}.reader_B"])) for name in names}
        asker = cls(shapes, len(tensors[f"{names[0]}.reader_A"]))
        for name, site in asker.everywhere():
            site.load_state_dict({key: nn.Parameter(tensors[f"{name}.{key}"].float()) for key in ("reader_A", "reader_B")})
        return asker
