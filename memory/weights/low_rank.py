"""Cutting a change of a module's weight to the rank that is worth its bytes.

Axes: i inputs of a module, o its outputs, r rank. Of all matrices of rank r the one that changes least where S says that inputs lie,

    min E |(W - W_r) x|^2,  E x x^T = S        is        W_r = U_r U_r^T W,   U_r: the r leading eigenvectors of W S W^T,

a weighted SVD without the factor of S, and (o o) whatever i is. Knows nothing about who wrote W.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from nrem.memory.weights.fast_weights import Factors

KEPT = torch.bfloat16
"""How factors lie in files; what is cut is rounded at once, so that a memory and its saved copy are the same."""


def cut(W: Float[Tensor, "o i"], S: Float[Tensor, "i i"], most: int, share: float = 1.0) -> Factors:
    """The factors of W at the smallest rank that keeps this share of E |W x|^2, and at most `most`.

    >>> cut(torch.ones(4, 3), torch.eye(3), most=2).A.shape  # of rank 1
    torch.Size([1, 3])
    """
    energy, vectors = torch.linalg.eigh(W @ S @ W.T)
    energy, vectors = energy.flip(0).clamp_min(0), vectors.flip(1)
    total = energy.sum()
    if not total > 0:
        return Factors(W.new_zeros(0, W.shape[1]), W.new_zeros(len(W), 0))
    missing = 1 - energy.cumsum(0) / total
    enough = int((missing > max(1 - share, ROUNDING)).sum()) + 1
    U = vectors[:, : min(enough, most)]
    return Factors((U.T @ W).to(KEPT).to(W.dtype), U.to(KEPT).to(W.dtype))


ROUNDING = 1e-6
"""Of the energy, that no file could keep."""


def beside(first: Factors, second: Factors) -> Factors:
    """The sum of two changes by its factors, one beside the other."""
    return Factors(torch.cat([first.A, second.A]), torch.cat([first.B, second.B], 1))


def rounded(factors: Factors) -> Factors:
    """As files keep it."""
    return Factors(factors.A.to(KEPT).to(factors.A.dtype), factors.B.to(KEPT).to(factors.B.dtype))
