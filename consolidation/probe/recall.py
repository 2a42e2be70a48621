"""Recall: does the model, closed book, return the answers of a chunk's held-out probes?

A probe is recalled when every answer token has p > 0.5, which makes greedy decoding return it (arXiv 2605.30260). The
activations below the fast weights are computed at the first look and reused by the later ones. Knows nothing about passes.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.probe.items import Batch, Item, Size, collate, pack, with_lower
from nrem.consolidation.probe.material import StudyMaterial
from nrem.consolidation.read.split_model import SplitModel
from nrem.memory.errors import SleepError
from nrem.memory.stream.chunk import Chunk


@dataclass(frozen=True, kw_only=True)
class Recall:
    """The score of one chunk."""

    probes: int
    recalled: float
    """Share of the probes that are recalled, 0 to 1; 0 where there are none."""
    nll: float
    """Mean answer NLL, nats per token."""


class RecallMeter:
    """Scores chunks with the fast weights that are attached at the time; `alone` narrows them to those of one chunk."""

    def __init__(
        self,
        split: SplitModel,
        material: StudyMaterial,
        ledger: Ledger,
        cost: CostModel,
        adapter_weights: int,
        batch_tokens: int = 2048,
        alone: Callable[[int], AbstractContextManager[None]] | None = None,
        questions: int | None = None,
    ) -> None:
        """`questions` is how many of a chunk are asked at most; None for all of its held-out ones."""
        self.questions = questions
        self.split, self.material, self.ledger, self.cost = split, material, ledger, cost
        self.adapter_weights, self.batch_tokens, self.alone = adapter_weights, batch_tokens, alone
        self._items: dict[int, list[Item]] = {}

    def forget(self) -> None:
        """Drop the stored activations."""
        self._items = {}

    def fet(self, chunks: Sequence[Chunk], looks: int = 1) -> float:
        """An upper bound of what `measure` debits for these chunks, asked so many times."""
        new = [item for chunk in chunks if chunk.index not in self._items for item in self._held_out(chunk)]
        every = [item for chunk in chunks for item in self._held_out(chunk)]
        lower = sum(self._lower_fet(group) for group in pack(new, self.batch_tokens))
        return lower + looks * sum(self._upper_fet(group) for group in self._pack(every))

    @torch.no_grad()
    def measure(self, chunks: Sequence[Chunk]) -> dict[int, Recall]:
        """Recall of every chunk, by index."""
        self._prepare(chunks)
        nll: dict[int, list[float]] = {chunk.index: [] for chunk in chunks}
        recalled: dict[int, list[bool]] = {chunk.index: [] for chunk in chunks}
        items = [item for chunk in chunks for item in self._items[chunk.index]]
        for group in self._pack(items):
            with self.ledger.debit("probes", self._upper_fet(group)), self._weights_for(group):
                batch = self._collate(group)
                log_p = torch.log_softmax(batch.logits(self.split).float(), -1).gather(1, batch.targets[:, None])[:, 0]
                count = torch.bincount(batch.owner, minlength=len(group))
                mean = torch.zeros(len(group), device=log_p.device).index_add(0, batch.owner, log_p) / count
                sure = torch.bincount(batch.owner, weights=(log_p.exp() > 0.5).float(), minlength=len(group)) == count
            if not bool(mean.isfinite().all()):
                raise SleepError("probes: the model's figures are not finite, with what was written or without; nothing of it was kept")
            for item, value, ok in zip(group, mean.tolist(), sure.tolist(), strict=True):
                nll[item.chunk].append(-value)
                recalled[item.chunk].append(ok)
        return {
            index: Recall(
                probes=len(values),
                recalled=sum(recalled[index]) / max(1, len(values)),
                nll=sum(values) / max(1, len(values)),
            )
            for index, values in nll.items()
        }

    def _prepare(self, chunks: Sequence[Chunk]) -> None:
        new = [chunk for chunk in chunks if chunk.index not in self._items]
        for chunk in new:
            self._items[chunk.index] = []
        for group in pack([item for chunk in new for item in self._held_out(chunk)], self.batch_tokens):
            with self.ledger.debit("probes", self._lower_fet(group)):
                for item in with_lower(self._collate(group), self.split):
                    self._items[item.chunk].append(item)

    def _held_out(self, chunk: Chunk) -> list[Item]:
        return self.material.held_out(chunk, self.questions)

    def _pack(self, items: Sequence[Item]) -> list[list[Item]]:
        """Groups to be asked together: of like length, and of one chunk where each chunk is asked alone."""
        if self.alone is None:
            return pack(items, self.batch_tokens)
        by_chunk: dict[int, list[Item]] = {}
        for item in items:
            by_chunk.setdefault(item.chunk, []).append(item)
        return [group for mine in by_chunk.values() for group in pack(mine, self.batch_tokens)]

    def _weights_for(self, group: Sequence[Item]) -> AbstractContextManager[None]:
        return nullcontext() if self.alone is None else self.alone(group[0].chunk)

    def _collate(self, group: Sequence[Item]) -> Batch:
        return collate(group, self.material.prompts.stop_id, self.split.model.device)

    def _lower_fet(self, group: Sequence[Item]) -> float:
        return Size.of(group).forward_fet(self.cost, layers=self.split.cut, head=False)

    def _upper_fet(self, group: Sequence[Item]) -> float:
        size = Size.of(group)
        upper = size.forward_fet(self.cost, layers=self.cost.num_layers - self.split.cut, head=True)
        return upper + self.cost.adapter(size.tokens, self.adapter_weights)
