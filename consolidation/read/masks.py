"""Attention masks for rows in which things stand beside one another that must not see each other. Knows nothing about what they are."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

Mask = Float[Tensor, "row 1 query key"] | dict[str, Any]
"""What is added to the scores of attention, or that by kind of layer where a model has several."""
SLIDING = "sliding_attention"
"""What transformers calls layers that see a window."""


def added_to_scores(model: PreTrainedModel, seen: Bool[Tensor, "row query key"], back: Int[Tensor, "row query key"]) -> Mask:
    """`seen`, of keys so many places `back`, as this model's forward takes it: with the windows of layers that slide."""
    config = model.config.get_text_config()
    window, kinds = getattr(config, "sliding_window", None), set(getattr(config, "layer_types", None) or ())
    near = seen & (back < window) if window else seen
    if len(kinds) > 1:
        return {kind: _additive(near if kind == SLIDING else seen, model.dtype) for kind in kinds}
    return _additive(near if not kinds or SLIDING in kinds else seen, model.dtype)


def _additive(seen: Bool[Tensor, "row query key"], dtype: torch.dtype) -> Float[Tensor, "row 1 query key"]:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)[:, None]
