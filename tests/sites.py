"""What the forward-only rules are tested on: texts at one adapted module, and their keys, values and strengths by definition."""

import pytest
import torch
from torch import Tensor

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.site import REACH, KeyedSite

D_IN, D_OUT, D, RANK = 7, 8, 8, 5
LENGTHS = pytest.mark.parametrize("lengths", [(1,), (2,), (97,), (1, 97, 40)], ids=str)


def make_seen(lengths: tuple[int, ...], seed: int = 1) -> tuple[Tensor, Seen]:
    """Inputs of the module and what was seen at every token, for texts of these lengths; the last token of each has no error."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    valid = torch.tensor([[float(t < length - 1) for t in range(shape[1])] for length in lengths])
    x, hidden, error = (torch.randn(*shape, size, generator=generator) for size in (D_IN, D, D))
    return x, Seen(hidden, error * valid[..., None], valid)


def tokens_of(site: KeyedSite, x: Tensor, seen: Seen, row: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(strength, key, value) at every token of a text, straight from the definitions."""
    out = []
    for t in range(x.shape[1]):
        spread = torch.zeros(D, dtype=x.dtype)
        for j in range(-REACH, REACH + 1):
            if 0 <= t - j < x.shape[1]:
                spread = spread + site.taps[j + REACH] * seen.error[row, t - j]
        key = site.A @ x[row, t] + site.D_out @ (site.D_in @ x[row, t])
        value = site.W1_out @ (site.W1_in @ seen.hidden[row, t]) + site.W2 @ spread
        gate = torch.sigmoid(site.gate_weight @ torch.cat([seen.hidden[row, t], seen.error[row, t]]) + site.gate_bias)
        out.append((gate * seen.valid[row, t], key, value))
    return out
