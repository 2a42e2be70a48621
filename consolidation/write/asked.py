"""How answers to dreamt questions are written: as a text is, up to what is learned here.

All questions end in the same words before their answer, so what is written at one of them is found, in part, at each: at questions, too,
that nobody dreamt of. With W1, W2, c_j, w and b of a text's values and strengths (`site`), at the tokens of dreamt answers

    v_t = exp(g) (W1 h_t + (W2 + U D) sum_j (c_j + c'_j) e_{t-j}) - s mean v        beta_t = sigmoid((w + w') . [h_t, e_t] + b + b')

the mean over all of a memory's. Knows nothing about what is solved for.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

RANK = 32
"""Of U D."""
SEED = 0
"""Of D at first, drawn apart: what else a site begins with is what it was before there were dreams."""
SHARED = 0.7
"""s, at first: of what all answers have in common (benchmarks/LOG.md)."""


class Asked(nn.Module):
    """What is learned of them at one adapted module; to begin with they are written as a text is, but for `SHARED`."""

    def __init__(self, d_out: int, d_model: int, taps: int) -> None:
        super().__init__()
        self.taps, self.log_gain = nn.Parameter(torch.zeros(taps)), nn.Parameter(torch.zeros(()))
        self.gate_weight, self.gate_bias = nn.Parameter(torch.zeros(2 * d_model)), nn.Parameter(torch.zeros(()))
        self.shared = nn.Parameter(torch.tensor(SHARED))
        self.D = nn.Parameter(torch.randn(RANK, d_model, generator=torch.Generator().manual_seed(SEED)) / math.sqrt(d_model))
        self.U = nn.Parameter(torch.zeros(d_out, RANK))

    def changed(self, values: Float[Tensor, "*batch token o"], spread: Float[Tensor, "*batch token d"]) -> Float[Tensor, "*batch token o"]:
        """A text's values of errors that are `spread` by the taps, as a dream's."""
        return self.log_gain.exp() * (values + (spread @ self.D.T) @ self.U.T)

    def apart(self, values: Float[Tensor, "*m t o"], strength: Float[Tensor, "*m t"]) -> Float[Tensor, "*m t o"]:
        """All values of a memory without a share of their mean over the tokens that are written; of few, less is taken for their mean."""
        written = (strength > 0).float()[..., None]
        return values - self.shared * (written * values).sum(-2, keepdim=True) / (written.sum(-2, keepdim=True) + 1)
