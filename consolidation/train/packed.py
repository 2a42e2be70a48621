"""Rows in which a text is read once and several things follow it, each as if it alone did.

    text   prompt 1 goal 1   prompt 2 goal 2   ...

Each tail, a prompt and its goal, sees the text and itself, at the positions that it would have alone, so that the losses are those of one
row a tail at a fraction of the tokens. Knows nothing about what is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from nrem.consolidation.read.masks import Mask, added_to_scores
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.site import Sites

Tail = tuple[Sequence[int], Sequence[int]]
"""What stands behind a text, and the goal that should follow: token ids."""
Row = tuple[Sequence[int], Sequence[Tail]]
"""A text and its tails."""
TEXT, PADDING = 0, -1
"""Blocks of a row; tails are 1, 2, ..."""


@dataclass(frozen=True, eq=False)
class Packed:
    """One row a text, padded on the right."""

    ids: Int[Tensor, "row token"]
    positions: Int[Tensor, "row token"]
    block: Int[Tensor, "row token"]
    """Which part of its row a token belongs to: the text, a tail, or padding."""
    select: Bool[Tensor, "row token"]
    """Where the next token belongs to a goal."""
    targets: Int[Tensor, " selected"]
    owner: Int[Tensor, " selected"]
    """Index of the tail, over all rows in order."""

    @classmethod
    def rows(cls, rows: Sequence[Row], padding: int, device: torch.device) -> Self:
        """`padding` is the id of the token that fills the rows up."""
        packed: list[list[tuple[int, int, int, bool]]] = []
        targets: list[int] = []
        owner: list[int] = []
        number = 0
        for text, tails in rows:
            row = [(token, place, TEXT, False) for place, token in enumerate(text)]
            for block, (prompt, goal) in enumerate(tails, 1):
                tail = [*prompt, *goal]
                goal_from = len(prompt) - 1
                row += [(t, len(text) + i, block, goal_from <= i < len(tail) - 1) for i, t in enumerate(tail)]
                targets += goal
                owner += [number] * len(goal)
                number += 1
            packed.append(row)
        width = max(len(row) for row in packed)
        padded = [row + [(padding, 0, PADDING, False)] * (width - len(row)) for row in packed]
        ids, positions, block_of, select = torch.tensor(padded).to(device).unbind(-1)
        return cls(ids, positions, block_of, select.bool(), torch.tensor(targets, device=device), torch.tensor(owner, device=device))

    def mask(self, model: PreTrainedModel) -> Mask:
        """A token sees those before it in the text and in its own tail, as far as this model's windows let it."""
        seen = (self.block[:, None, :] == TEXT) | (self.block[:, None, :] == self.block[:, :, None])
        seen = seen & torch.ones(seen.shape[1:], dtype=torch.bool, device=seen.device).tril()
        return added_to_scores(model, seen, self.positions[:, :, None] - self.positions[:, None, :])

    def token_nll(self, split: SplitModel, sites: Sites[Any], fast: Mapping[str, Any] | None) -> Float[Tensor, " selected"]:
        """NLL of each token of the goals, nats, with what `sites` read and `fast` holds attached; rows are group-major, as many for each
        memory of `fast`. Gradients reach the readers of all layers."""
        with lent(split.model, sites, fast):
            logits = split.whole(self.ids, self.mask(split.model), self.positions, self.select).float()
        return F.cross_entropy(logits, self.targets, reduction="none")

    def nll(self, split: SplitModel, sites: Sites[Any], fast: Mapping[str, Any] | None) -> Float[Tensor, " tail"]:
        """Mean of `token_nll` over each goal, nats per token."""
        nll = self.token_nll(split, sites, fast)
        count = torch.bincount(self.owner)
        return torch.zeros(len(count), device=nll.device).index_add(0, self.owner, nll) / count
