"""Items: prompt and answer as token ids, packed into padded batches for a split model. Knows nothing about facts or passes.

Axes: item (rows of a batch), token (padded on the right), selected (the positions whose next token belongs to an answer, row by row).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nrem.consolidation.budget import CostModel
from nrem.consolidation.read.split_model import SplitModel


@dataclass(frozen=True, eq=False)
class Teacher:
    """The most likely tokens at each answer position and their probabilities, renormalised over these tokens."""

    ids: Int[Tensor, "selected top"]
    probs: Float[Tensor, "selected top"]

    def divergence(self, logits: Float[Tensor, "selected vocab"]) -> Float[Tensor, " selected"]:
        """KL(teacher || student) over the teacher's tokens, nats."""
        log_student = torch.log_softmax(logits, -1).gather(1, self.ids)
        return (self.probs * (self.probs.clamp_min(1e-9).log() - log_student)).sum(-1)


@dataclass(frozen=True, eq=False)
class Item:
    """One prompt with the answer that should follow it."""

    chunk: int
    prefix: tuple[int, ...]
    """The start of the prompt that many items share; a batch reads it once."""
    prompt: Sequence[int]
    """The rest of the prompt."""
    answer: Sequence[int]
    lower: Float[Tensor, "token d"] | None = None
    """Activations below the fast weights, computed once and reused by every pass."""
    teacher: Teacher | None = None
    """What the same model says with the chunk in its context, at the answer's positions."""

    def __len__(self) -> int:
        """Tokens of the row: without the shared prefix."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True, eq=False)
class Batch:
    """Items of like length, padded to the longest."""

    items: Sequence[Item]
    ids: Int[Tensor, "item token"]
    mask: Int[Tensor, "item token"]
    select: Bool[Tensor, "item token"]
    targets: Int[Tensor, " selected"]
    owner: Int[Tensor, " selected"]
    """Row of each selected position."""
    lower: Float[Tensor, "item token d"] | None
    teacher: Teacher | None

    @property
    def prefix(self) -> tuple[int, ...]:
        return self.items[0].prefix

    def logits(self, split: SplitModel) -> Float[Tensor, "selected vocab"]:
        """Next-token logits at the answer positions, in the model's dtype."""
        lower = self.lower if self.lower is not None else split.lower(self.ids, self.mask, self.prefix)
        return split.upper(self.ids, self.mask, lower, self.select, self.prefix)

    def nll(self, split: SplitModel) -> Float[Tensor, " item"]:
        """Mean NLL of each answer, nats per token."""
        nll = F.cross_entropy(self.logits(split).float(), self.targets, reduction="none")
        count = torch.bincount(self.owner, minlength=len(self.items))
        return torch.zeros(len(self.items), device=nll.device).index_add(0, self.owner, nll) / count


def collate(items: Sequence[Item], pad_id: int, device: torch.device) -> Batch:
    """Pad on the right; items keep their order."""
    length = max(len(item) for item in items)
    ids = torch.full((len(items), length), pad_id)
    mask = torch.zeros(len(items), length, dtype=torch.long)
    select = torch.zeros(len(items), length, dtype=torch.bool)
    for row, item in enumerate(items):
        ids[row, : len(item)] = torch.tensor([*item.prompt, *item.answer])
        mask[row, : len(item)] = 1
        select[row, len(item.prompt) - 1 : len(item) - 1] = True
    targets = torch.tensor([token for item in items for token in item.answer])
    owner = torch.tensor([row for row, item in enumerate(items) for _ in item.answer])
    ids, mask, select, targets, owner = (t.to(device) for t in (ids, mask, select, targets, owner))
    lower = _pad([item.lower for item in items if item.lower is not None], length)
    teachers = [item.teacher for item in items if item.teacher is not None]
    teacher = Teacher(torch.cat([t.ids for t in teachers]), torch.cat([t.probs for t in teachers])) if teachers else None
    return Batch(items, ids, mask, select, targets, owner, lower, teacher)


def _pad(rows: Sequence[Tensor], length: int) -> Tensor | None:
    if not rows:
        return None
    out = rows[0].new_zeros(len(rows), length, rows[0].shape[-1])
    for row, values in enumerate(rows):
        out[row, : len(values)] = values
    return out


def pack(items: Iterable[Item], max_tokens: int) -> list[list[Item]]:
    """Sort by prefix and length and group items of like length, at most `max_tokens` padded tokens a group (or one item)."""
    groups: list[list[Item]] = []
    for item in sorted(items, key=lambda item: (item.prefix, len(item))):
        full = not groups or len(item) * (len(groups[-1]) + 1) > max_tokens
        if full or item.prefix != groups[-1][0].prefix:
            groups.append([])
        groups[-1].append(item)
    return groups


@dataclass(frozen=True)
class Size:
    """What a group costs, known before it is collated."""

    tokens: int
    """Tokens computed, padding and one prefix included."""
    plain_tokens: int
    """Tokens of the items by themselves: what a loop without packing, padding or a shared prefix would compute."""
    context: float
    """Tokens that each of them attends to, on average."""
    targets: int

    @classmethod
    def of(cls, group: Sequence[Item]) -> Self:
        prefix, length = len(group[0].prefix), max(len(item) for item in group)
        return cls(
            tokens=prefix + length * len(group),
            plain_tokens=sum(prefix + len(item) for item in group),
            context=prefix + length / 2,
            targets=sum(len(item.answer) for item in group),
        )

    def forward_fet(self, cost: CostModel, *, layers: int, head: bool) -> float:
        """FET of reading the group through `layers` layers, and the head at its answer positions."""
        return cost.forward(self.tokens, self.context, layers=layers, head_tokens=self.targets if head else 0)


def with_lower(batch: Batch, split: SplitModel) -> list[Item]:
    """The batch's items, each holding its own lower activations; unchanged where nothing lies below the fast weights."""
    lower = split.lower(batch.ids, batch.mask, batch.prefix)
    if lower is None:
        return list(batch.items)
    return [replace(item, lower=lower[row, : len(item)].clone()) for row, item in enumerate(batch.items)]
