"""The plain way to write text into an adapter, as a user of PEFT would: `get_peft_model`, AdamW, whole-model forward and backward.

Kind to it: rows of like length are batched together, so it pads little. Nothing is reused between passes; the loss is transformers' own.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from peft import LoraConfig, get_peft_model

from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.models.load import Base

ROWS = 8
"""Rows of one forward pass."""
IGNORED = -100
SMALLEST_RANK = 16
"""Of the plain way where ours holds nothing before the first pass."""


class TokenRow(NamedTuple):
    """A text, and where the part that is learned begins."""

    ids: Sequence[int]
    learned_from: int


class PlainWay:
    """A PEFT model with adapters of the same rank on the same modules, on a copy of the base."""

    def __init__(self, base: Base, fast: FastWeights, step_size: float = 1e-4) -> None:
        rank = max(SMALLEST_RANK, fast.rank)
        config = LoraConfig(
            r=rank, lora_alpha=rank, target_modules=list(fast.factors), fan_in_fan_out=fast.transposed, task_type="CAUSAL_LM"
        )
        self.model = get_peft_model(copy.deepcopy(base.model), config)
        self.model.eval()  # no dropout, as ours; gradients flow all the same
        self.pad_id = int(base.tokenizer.pad_token_id)
        self.optimiser = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=step_size)

    def learn(self, rows: Sequence[TokenRow], rows_per_step: int) -> int:
        """One pass over the rows, a step after every so many; returns the tokens read, padding left out."""
        ordered = sorted(rows, key=lambda row: len(row.ids))
        for start in range(0, len(ordered), rows_per_step):
            step = ordered[start : start + rows_per_step]
            for first in range(0, len(step), ROWS):
                self._loss(step[first : first + ROWS]).backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
        return sum(len(row.ids) for row in rows)

    def _loss(self, rows: Sequence[TokenRow]) -> torch.Tensor:
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[*row.ids, *[self.pad_id] * (width - len(row.ids))] for row in rows])
        mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
        labels = ids.clone()
        for number, row in enumerate(rows):
            labels[number, : row.learned_from] = IGNORED
            labels[number, len(row.ids) :] = IGNORED
        device = self.model.device
        loss: torch.Tensor = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), labels=labels.to(device)).loss
        return loss
