"""Whether a model still has the weights that were hashed: a few values of every tensor, and how often each was written to.

Hashing reads every weight, a quarter of a second for 135M of them; this reads some thousands, so that it can be done whenever fast weights
are attached. An optimiser or a cast changes nearly all values, and is noticed for certain; what torch changed in place it has counted. A
single value that was changed behind torch's back is not noticed. Knows nothing about memories.
"""

from typing import NamedTuple

import torch
from torch import nn

VALUES = 16
"""Of every tensor, at equal distances."""


class Sampled(NamedTuple):
    """Equal for equal weights."""

    values: bytes
    writes: int


@torch.no_grad()
def sampled(model: nn.Module) -> Sampled:
    """Read the values and the counts of all parameters."""
    picked, writes = [], 0
    for parameter in model.parameters():
        flat = parameter.detach().reshape(-1)
        picked.append(flat[:: max(1, len(flat) // VALUES)][: VALUES + 1].to(torch.float32))
        writes += 0 if parameter.is_inference() else parameter._version
    if not picked:
        return Sampled(b"", 0)
    return Sampled(torch.cat([values.to(picked[0].device) for values in picked]).cpu().numpy().tobytes(), writes)
