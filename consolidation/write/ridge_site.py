"""The ridge write: the regularised least-squares map from a module's own inputs to prediction errors, under a prior of ordinary text.

Axes: m memories, t tokens of a memory, i inputs of an adapted module, o its outputs. With inputs x_t, values v_t and strengths beta_t of
`site`, and mu tokens of ordinary text (C_0, `background`) at which nothing is to be said,

    C = sum_t beta_t x_t x_t^T        M = sum_t beta_t v_t x_t^T

    change = gain u M (C + mu C_0)^-1                                                        primal, for many tokens: (i i)
           = Y^T A,   A = X C_0^-1,   Y = gain u/mu R (I + R A X^T R / mu)^-1 R V             dual, for few: (t t); R = diag(sqrt(beta))

u is the unit of the module's outputs: how large they are on ordinary text. A gain of so many of them does the same in every model family,
whatever its norms (benchmarks/LOG.md). Up to gain and unit the change minimises sum_t beta_t |v_t - change x_t|^2 + mu E |change x|^2
(MEMIT, arXiv 2210.07229, has keys and values at single tokens of facts; here they are at every token of a text). Pass 1 reads with nothing
written: C and M are sums over texts, in any order. A later pass reads with what all texts of the memory have written, and adds a learned
share of the same solution for what is still wrong: it mends what texts do to one another.

Knows nothing about chunks, files or training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.asked import Asked
from nrem.consolidation.write.background import Background
from nrem.consolidation.write.learned import LearnedWrite, Sizes
from nrem.consolidation.write.reading import Reading
from nrem.consolidation.write.site import ValuedSite, by_group, by_row
from nrem.consolidation.write.solve import solve_spd

MU = 100.0
"""Tokens of ordinary text that count against a memory's own, at first."""
GAIN = 0.12
"""In units of the outputs: with nothing else learned the best of SmolLM2 and of Gemma 3, whose outputs are a hundred times smaller."""
CORRECTION = 0.3
"""Share of a pass's solution that a later pass adds, at first."""
SMALLEST_STRENGTH = 1e-12
WIDEST = 8192
"""Inputs of the widest module whose (i i) matrices are formed: at 8,192 one is 268 MB. Wider ones are solved by tokens, whatever their
number."""


@dataclass(frozen=True)
class LowRank:
    """A change of every memory by its factors, one token a row: Y^T A."""

    A: Float[Tensor, "m t i"]
    Y: Float[Tensor, "m t o"]

    def __len__(self) -> int:
        return len(self.A)

    @property
    def dense(self) -> Float[Tensor, "m o i"]:
        return self.Y.mT @ self.A


Change = LowRank | Tensor
"""What memories have written at one module: by its factors, or as (m o i)."""


Read = tuple[Float[Tensor, "row token i"], Seen]
"""What entered a module at every token of a batch, and what reading left there."""


class RidgeSite(ValuedSite):
    """What is learned at one adapted module."""

    unit: Tensor

    def __init__(self, d_in: int, d_out: int, d_model: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, reader_rank, generator)
        self.learn_values(d_model, generator)
        self.log_mu = nn.Parameter(torch.tensor(MU).log())
        self.gain, self.correction = nn.Parameter(torch.tensor(GAIN)), nn.Parameter(torch.tensor(CORRECTION))
        self.background = Background(d_in)
        self.asked = Asked(d_out, d_model, len(self.taps))
        self.register_buffer("unit", torch.ones(()))  # protocols from before there were units have their gains in ones

    def by_tokens(self, tokens: int) -> bool:
        """Whether so many tokens are solved for in the dual form."""
        return tokens <= self.d_in or self.d_in > WIDEST

    def solve_dual(self, X: Float[Tensor, "m t i"], V: Float[Tensor, "m t o"], strength: Float[Tensor, "m t"]) -> LowRank:
        """The solution by its factors."""
        root = (strength.clamp_min(SMALLEST_STRENGTH).sqrt() * (strength > 0))[..., None]  # the root has no gradient at 0
        mu, X = self.log_mu.exp(), X.float()
        A = self.background.solve(X)
        gram = A @ X.mT
        system = torch.eye(gram.shape[-1], device=X.device) + (gram + gram.mT) * (root / (2 * mu)) * root.mT
        return LowRank(A, self.gain * self.unit / mu * root * solve_spd(system, root * V))

    def sums(
        self, X: Float[Tensor, "m t i"], V: Float[Tensor, "m t o"], strength: Float[Tensor, "m t"]
    ) -> tuple[Float[Tensor, "m i i"], Float[Tensor, "m o i"]]:
        """C and M."""
        X = X.float()
        weighted = strength[..., None] * X
        return weighted.mT @ X, V.mT @ weighted

    def prior(self) -> Float[Tensor, "i i"]:
        """mu C_0."""
        return self.log_mu.exp() * self.background.matrix()

    def solve_primal(self, S: Float[Tensor, "*m i i"], M: Float[Tensor, "*m o i"]) -> Float[Tensor, "*m o i"]:
        """The solution from the sums, S = C + mu C_0."""
        return self.gain * self.unit * solve_spd(S, M.mT).mT

    def write(self, texts: Read, dreams: Read | None, memories: int) -> Change:
        """The solution for texts, and what was dreamt about them, that are dealt out to so many memories."""
        x, seen = texts
        X, V, beta = by_group(x, memories), by_group(self.values(seen), memories), _by_group(self.strength(seen), memories)
        if dreams is not None:
            x, seen = dreams
            strength = _by_group(self.strength(seen, self.asked), memories)
            values = self.asked.apart(by_group(self.values(seen, self.asked), memories), strength)
            X, V, beta = torch.cat([X, by_group(x, memories)], 1), torch.cat([V, values], 1), torch.cat([beta, strength], 1)
        if self.by_tokens(X.shape[1]):
            return self.solve_dual(X, V, beta)
        C, M = self.sums(X, V, beta)
        return self.solve_primal(C + self.prior(), M)

    def added(self, before: Change | None, now: Change) -> Change:
        """What is written after one more pass."""
        if before is None:
            return now
        if isinstance(before, LowRank) and isinstance(now, LowRank):
            both = LowRank(torch.cat([before.A, now.A], 1), torch.cat([before.Y, self.correction * now.Y], 1))
            return both if both.A.shape[1] <= self.d_in else both.dense
        return dense(before) + self.correction * dense(now)

    def change(self, x: Float[Tensor, "row token i"], written: Change) -> Float[Tensor, "row token o"]:
        """What was written adds to the module's output: rows are group-major, as many for each memory of `written`."""
        if isinstance(written, LowRank):
            grouped = by_group(x, len(written)) @ written.A.to(x.dtype).mT
            return by_row(grouped @ written.Y.to(x.dtype), len(x))
        return by_row(by_group(x, len(written)) @ written.to(x.dtype).mT, len(x))


def _by_group(strength: Float[Tensor, "row token"], memories: int) -> Float[Tensor, "m t"]:
    return by_group(strength[..., None], memories)[..., 0]


def dense(change: Change) -> Float[Tensor, "m o i"]:
    """A change as one matrix."""
    return change.dense if isinstance(change, LowRank) else change


class Ridge(LearnedWrite[RidgeSite]):
    """The sites of one base model."""

    segment_chunks = 16

    def __init__(self, sizes: Sizes, sites: list[RidgeSite]) -> None:
        super().__init__(sizes, sites)
        self._settled: set[str] = set()

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        return cls(sizes, [RidgeSite(i, o, sizes.d_model, sizes.reader_rank, generator) for i, o in sizes.modules.values()])

    def write(self, reading: Reading, passes: int) -> dict[str, Change]:
        """Gradients run through the values and strengths of every pass; through what a later pass reads only with order 2."""
        written: dict[str, Change] = {}
        for number in range(passes):
            with reading.reads(number):
                texts, dreams = reading.observe_all(written if number else None)
            for name, site in self.items():
                asked = (dreams.inputs[name], dreams.seen) if dreams else None
                solved = site.write((texts.inputs[name], texts.seen), asked, reading.memories)
                written[name] = site.added(written.get(name), solved)
        return written

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        """C_0 depends on the base model only: it is measured once, and not asked for again, which would make a GPU wait at every step."""
        for name, x in inputs.items():
            if name not in self._settled and not self[name].background.weights.any():
                self[name].background.settle(x)
            self._settled.add(name)

    def take_units(self, units: Mapping[str, float]) -> None:
        for name, unit in units.items():
            self[name].unit.fill_(unit)
