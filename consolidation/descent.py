"""The trained gradient write: a pass descends the next-token loss of a memory's texts, with learned step sizes.

Pass k, for one memory with the fast weights B of all adapted modules m, which start at 0:

    g = d (mean next-token loss) / d B        B_m <- B_m - eta[k, m] g_m / |g|        |g| over all modules together

Learned are eta, A, under whose keys B is read, and the static reader. First order takes g as given: A learns from how B is read, eta from
where the steps lead. Second order differentiates g as well (MAML, arXiv 1703.03400): A learns what gradients it gives. Knows nothing about
text or training.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nrem.consolidation.learned import LearnedWrite, Sizes
from nrem.consolidation.reading import Reading
from nrem.consolidation.site import LowRankSite

STEP_SIZE = 1.0
"""eta of every pass at first."""
SMALLEST_NORM = 1e-12


class DescentSite(LowRankSite):
    """What is learned at one adapted module."""

    def __init__(self, d_in: int, d_out: int, rank: int, reader_rank: int, passes: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, rank, reader_rank, 1.0, generator)
        self.log_steps = nn.Parameter(torch.full((passes,), math.log(STEP_SIZE)))

    def step_size(self, number: int) -> Tensor:
        """eta of pass `number`, from 0; passes beyond those trained take the last one's."""
        return self.log_steps[min(number, len(self.log_steps) - 1)].exp()


class DescentParameters(LearnedWrite[DescentSite]):
    """The sites of one base model."""

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        shapes = sizes.modules.values()
        return cls(sizes, [DescentSite(i, o, sizes.rank, sizes.reader_rank, sizes.max_passes, generator) for i, o in shapes])

    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        rows = reading.memories
        fast = {name: site.A.new_zeros(rows, site.d_out, site.rank) for name, site in self.items()}
        second = reading.order == 2 and torch.is_grad_enabled()
        for number in range(passes):
            gradients = self._gradients(reading, fast, second)
            fast = self.stepped(fast, gradients, number)
        return fast

    def _gradients(self, reading: Reading, fast: Mapping[str, Tensor], second: bool) -> dict[str, Tensor]:
        """Of every memory's loss, with respect to its own B; memories do not touch one another, so the sum of losses gives them all."""
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH) if second else nullcontext():  # others are differentiated once only
            leaves = {name: B if second and B.requires_grad else B.detach().requires_grad_() for name, B in fast.items()}
            loss = reading.loss(leaves).sum()
            return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()), create_graph=second), strict=True))

    def stepped(self, fast: Mapping[str, Tensor], gradients: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        """B after pass `number`, (*memory out rank) at every site."""
        squares = torch.stack([g.pow(2).sum((-2, -1)) for g in gradients.values()]).sum(0)
        unit = squares.clamp_min(SMALLEST_NORM**2).rsqrt()[..., None, None]
        return {name: fast[name] - site.step_size(number) * gradients[name] * unit for name, site in self.items()}
