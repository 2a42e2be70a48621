"""What a pass gathers at one module before it solves: tokens as long as they are few, their sums from then on.

Axes: t tokens of all texts, i inputs, o outputs. Knows nothing about texts.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nrem.consolidation.write.ridge_site import RidgeSite, dense
from nrem.consolidation.write.site import HIDDEN_RANK


class Gathered:
    """Inputs, values and strengths of the tokens read so far, in whichever form is the smaller."""

    def __init__(self, site: RidgeSite) -> None:
        self.site = site
        self._tokens: list[tuple[Tensor, Tensor, Tensor]] = []
        self._count = 0
        self._sums: tuple[Tensor, Tensor] | None = None
        self._dreams: list[tuple[Tensor, Tensor, Tensor]] = []

    def add_dreams(self, x: Float[Tensor, "t i"], values: Float[Tensor, "t o"], strength: Float[Tensor, " t"]) -> None:
        """Of dreams, whose mean is known when all are there; they are few."""
        self._dreams.append((x, values, strength))

    def add(self, x: Float[Tensor, "t i"], values: Float[Tensor, "t o"], strength: Float[Tensor, " t"]) -> None:
        self._tokens.append((x.float(), values, strength))
        self._count += len(x)
        if not self.site.by_tokens(self._count):
            self._sum_up()

    def solved(self) -> tuple[Float[Tensor, "o i"], Float[Tensor, "i i"]]:
        """The solution for all tokens, and C + mu C_0."""
        if self._dreams:
            x, values, strength = (torch.cat(parts) for parts in zip(*self._dreams, strict=True))
            self.add(x, self.site.asked.apart(values, strength), strength)
            self._dreams = []
        prior = self.site.prior()
        if self._sums is not None:
            C, M = self._sums
            return self.site.solve_primal(C + prior, M), C + prior
        x, values, strength = (torch.cat(parts) for parts in zip(*self._tokens, strict=True))
        C = (strength[:, None] * x).T @ x
        return dense(self.site.solve_dual(x[None], values[None], strength[None]))[0], C + prior

    def _sum_up(self) -> None:
        x, values, strength = (torch.cat(parts) for parts in zip(*self._tokens, strict=True))
        C, M = self.site.sums(x, values, strength)
        self._sums = (C, M) if self._sums is None else (self._sums[0] + C, self._sums[1] + M)
        self._tokens = []


def pass_flops(site: RidgeSite, tokens: int) -> float:
    """Values and gate, the sums or the products of all pairs of tokens, and the solution; the cut is left out, once a sleep."""
    i, (o, d), k = site.d_in, site.W2.shape, site.background.directions.shape[1]
    values = 2 * tokens * (d * HIDDEN_RANK + HIDDEN_RANK * o + d * o + 2 * d)
    prior = 2 * i * i * k
    if site.by_tokens(tokens):
        sums = 4 * tokens * i * k + 2 * tokens**2 * i + 2 * tokens * i * i
        return values + prior + sums + tokens**3 / 3 + 2 * tokens**2 * o + 2 * tokens * o * i
    return values + prior + 2 * tokens * i * (i + o) + i**3 / 3 + 2 * i * i * o
