"""Symmetric positive definite systems, solved by Cholesky, with the gradient of the solution and not of the factorisation.

    Z = S^-1 R        dR = S^-1 dZ        dS = -dR Z^T

Autograd's way goes back through the factor, at several times the cost. Batched LU of these shapes is slower still, and was seen to print
oneMKL errors with two threads. Knows nothing about what is solved for.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def solve_spd(S: Float[Tensor, "*batch n n"], R: Float[Tensor, "*batch n k"]) -> Float[Tensor, "*batch n k"]:
    """S^-1 R; differentiable once. Raises `torch.linalg.LinAlgError` where S is not positive definite."""
    return _Solve.apply(S, R)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, S: Tensor, R: Tensor) -> Tensor:
        lower = torch.linalg.cholesky(S)
        Z = torch.cholesky_solve(R, lower)
        ctx.save_for_backward(lower, Z)
        return Z

    @staticmethod
    def backward(ctx: Any, dZ: Tensor) -> tuple[Tensor | None, Tensor]:
        lower, Z = ctx.saved_tensors
        dR = torch.cholesky_solve(dZ, lower)
        return (-dR @ Z.mT if ctx.needs_input_grad[0] else None), dR
