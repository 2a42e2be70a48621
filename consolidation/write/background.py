"""C_0 = E[x x^T] of what enters a module when ordinary text is read, as a diagonal and a few directions.

    C_0 = diag(d) + U diag(w) U^T        C_0^-1 X^T by Woodbury's identity, without forming either

64 directions do as well as the whole matrix (benchmarks/LOG.md), are small enough to come with a protocol, and cheap to invert. It is where
a write should say nothing, as in ROME and MEMIT (arXiv 2202.05262, 2210.07229). Knows nothing about what is written.

Axes: t tokens, i inputs of a module, k directions.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

DIRECTIONS = 64
SMALLEST_SHARE = 1e-3
"""Of the mean diagonal, that every entry of d keeps: no input is free of charge."""


SMALLEST_WEIGHT = 1e-20
"""Of a direction that is not there."""


class Background(nn.Module):
    """C_0 of one module; measured by `settle`, never learned."""

    diagonal: Tensor
    directions: Tensor
    weights: Tensor

    def __init__(self, d_in: int) -> None:
        super().__init__()
        self.register_buffer("diagonal", torch.ones(d_in))
        self.register_buffer("directions", torch.zeros(d_in, min(DIRECTIONS, d_in - 1)))
        self.register_buffer("weights", torch.zeros(min(DIRECTIONS, d_in - 1)))

    @property
    def d_in(self) -> int:
        return len(self.diagonal)

    @torch.no_grad()
    def settle(self, x: Float[Tensor, "token i"]) -> None:
        """Take C_0 from inputs of ordinary text."""
        x = x.float()
        diagonal, count = x.pow(2).mean(0), min(self.directions.shape[1], len(x))
        if len(x) < self.d_in:  # of few tokens the products with one another say the same, and are the smaller matrix
            weights, of_tokens = torch.linalg.eigh(x @ x.T / len(x))
            vectors = F.normalize(x.T @ of_tokens[:, -count:], dim=0)
        else:
            weights, vectors = torch.linalg.eigh(x.T @ x / len(x))
        self.directions, self.weights = torch.zeros_like(self.directions), torch.zeros_like(self.weights)
        self.directions[:, :count], self.weights[:count] = vectors[:, -count:], weights[-count:].clamp_min(0)
        rest = diagonal - self.directions**2 @ self.weights
        self.diagonal = rest.clamp_min(SMALLEST_SHARE * diagonal.mean())

    def matrix(self) -> Float[Tensor, "i i"]:
        """C_0."""
        return torch.diag(self.diagonal) + (self.directions * self.weights) @ self.directions.T

    def solve(self, X: Float[Tensor, "*batch t i"]) -> Float[Tensor, "*batch t i"]:
        """X C_0^-1."""
        U, scaled = self.directions, X / self.diagonal
        inner = torch.diag(1 / self.weights.clamp_min(SMALLEST_WEIGHT)) + U.T @ (U / self.diagonal[:, None])
        return scaled - (scaled @ U) @ torch.linalg.solve(inner, (U / self.diagonal[:, None]).T)
