"""The keyed write: fast weights as the regularised least-squares map from learned keys of rank r to prediction errors.

Thousands of tokens do not fit into a hundred directions: the ridge rule, which needs no keys, has taken its place. This one reads memories
that were made before, and is compared against.

Axes: b chunks (or memories) of a batch, t tokens, i inputs of an adapted module, o its outputs, r rank. With keys k_t, values v_t and write
strengths beta_t of `site`:

    C = sum_t beta_t k_t k_t^T        M = sum_t beta_t v_t k_t^T        B = gain * M (C + lambda I + mu C_0)^-1

C_0 = E[(A x)(A x)^T] over ordinary text, where a write should say nothing, as in ROME (arXiv 2202.05262): mu tokens of it count
against the text's own. C and M are sums over tokens, so chunks add up, in any order, and can be taken out again.

Knows nothing about text or training.
"""

from collections.abc import Mapping
from typing import Self

import torch
from einops import einsum, reduce
from jaxtyping import Float
from torch import Tensor, nn

from nrem.consolidation.learned import LearnedWrite, Sizes
from nrem.consolidation.reading import Reading
from nrem.consolidation.site import KeyedSite, Seen
from nrem.memory.statistics import Statistics, WrittenStatistics, solve

CORRECTION = 0.3
"""Share of the remaining error that a later pass writes (benchmarks/LOG.md)."""
SMALLEST_GAIN = 0.05


class KeyedRidgeSite(KeyedSite):
    """What is learned at one adapted module."""

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, d_model, rank, reader_rank, generator)
        self.log_lambda, self.log_mu = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(2.0))
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("background", torch.zeros(rank, rank))

    def statistics(self, x: Float[Tensor, "batch token i"], seen: Seen) -> Statistics:
        """What these texts leave here, one entry a row."""
        keys = self.keys(x)
        weighted = keys * self.strength(seen)[..., None]
        return Statistics(einsum(weighted, keys, "b t r, b t s -> b r s"), self.values_under(weighted, seen))

    def settle(self, x: Float[Tensor, "token i"]) -> None:
        """Take C_0 from what enters the module when ordinary text is read; differentiable in A."""
        keys = (x @ self.A.to(x.dtype).T).float()
        self.background = keys.T @ keys / len(keys)

    def damping(self) -> Float[Tensor, "rank rank"]:
        """lambda I + mu C_0."""
        return self.log_lambda.exp() * torch.eye(self.rank, device=self.A.device) + self.log_mu.exp() * self.background

    def solve(self, statistics: Statistics) -> Float[Tensor, "*batch out rank"]:
        """The fast weights that follow from the sum of the statistics."""
        return solve(statistics, self.damping(), self.gain)


class KeyedRidge(LearnedWrite[KeyedRidgeSite]):
    """The sites of one base model."""

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        shapes = sizes.modules.values()
        return cls(sizes, [KeyedRidgeSite(i, o, sizes.d_model, sizes.rank, sizes.reader_rank, generator) for i, o in shapes])

    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        found = self.left(reading, passes)
        return self.solve({name: _sum_memories(s, reading.memories) for name, s in found.items()})

    def left(self, reading: Reading, passes: int) -> dict[str, Statistics]:
        """What each text leaves after so many passes, one entry a row; a pass rereads it with what it alone has left so far."""
        found: dict[str, Statistics] = {}
        for number in range(passes):
            with reading.reads(number):
                fast = self.solve(found) if number else None
                seen = reading.observe(fast)
            with reading.writes(number, passes):
                now = self.statistics(seen.inputs, seen.seen)
                found = self.refined(now, fast) if fast is not None else now
        return found

    def statistics(self, inputs: dict[str, Tensor], seen: Seen) -> dict[str, Statistics]:
        """Statistics at every site."""
        return {name: site.statistics(inputs[name], seen) for name, site in self.items()}

    def solve(self, statistics: dict[str, Statistics]) -> dict[str, Tensor]:
        """B at every site."""
        return {name: site.solve(statistics[name]) for name, site in self.items()}

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        for name, x in inputs.items():
            self[name].settle(x)

    def refined(self, statistics: dict[str, Statistics], fast: dict[str, Tensor]) -> dict[str, Statistics]:
        """Statistics of a later pass over texts that `fast` holds already: what it says now, corrected by a part of what is still wrong.

        With the errors of that pass alone the fast weights would lose all that they explain, since it is no error any more.
        M = B (C + lambda I + mu C_0) / gain is what is solved by B again.
        """
        out = {}
        for name, (C, M) in statistics.items():
            kept = fast[name] @ (C + self[name].damping()) / self[name].gain.clamp_min(SMALLEST_GAIN)
            out[name] = Statistics(C, CORRECTION * M + kept)
        return out

    def nothing_written(self) -> WrittenStatistics:
        """What a new memory starts from."""
        damping = {name: site.damping().detach() for name, site in self.items()}
        return WrittenStatistics(damping, {name: site.gain.detach().clone() for name, site in self.items()}, self.reader_rank)


def _sum_memories(statistics: Statistics, memories: int) -> Statistics:
    return Statistics(
        reduce(statistics.C, "(m n) r s -> m r s", "sum", m=memories), reduce(statistics.M, "(m n) o r -> m o r", "sum", m=memories)
    )
