"""The chunks of a sleep as passes read them: token ids in batches of about equal length, and their activations below the fast weights.

The lower activations are computed once, for whole batches, so that a sleep that was cut off finds the same; every pass reuses them.
Knows nothing about how a pass writes.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.observe import Texts
from nrem.consolidation.read.split_model import SplitModel
from nrem.memory.stream.chunk import Chunk

BATCH_TOKENS = 2048
KEPT = 4096
"""Chunks whose tokens are remembered: what a pass costs is asked before it is made."""
SPREAD = 1.15
"""Longest over shortest text of a batch: padding is read like text."""


class SleepTexts:
    """What is read in a sleep; empty between sleeps."""

    def __init__(self, split: SplitModel, prompts: Prompts, ledger: Ledger, cost: CostModel, vocabulary: int = 0) -> None:
        self.split, self.prompts, self.ledger, self.cost, self.vocabulary = split, prompts, ledger, cost, vocabulary
        self.ids: dict[int, list[int]] = {}
        self._ids_of = lru_cache(maxsize=KEPT)(prompts.chunk_ids)
        self._groups: list[list[int]] = []
        self._lower: dict[int, Tensor | None] = {}

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """These chunks, by their index, in this order."""
        self.ids = {chunk.index: self._ids_of(chunk.title, chunk.text) for chunk in chunks}
        self._groups = []
        for index in sorted(self.ids, key=lambda i: (len(self.ids[i]), i)):
            last = self._groups[-1] if self._groups else []
            width = len(self.ids[index])
            if last and width * (len(last) + 1) <= BATCH_TOKENS and width <= SPREAD * len(self.ids[last[0]]):
                last.append(index)
            else:
                self._groups.append([index])

    def end(self) -> None:
        self.ids, self._groups, self._lower = {}, [], {}

    def groups(self, wanted: Sequence[int]) -> list[list[int]]:
        """The chunks in batches that are read at once."""
        return [part for group in self._groups if (part := [i for i in group if i in set(wanted)])]

    def tokens(self, chunks: Sequence[int]) -> int:
        """Tokens of these chunks, padding left out."""
        return sum(len(self.ids[i]) for i in chunks)

    def width(self, group: Sequence[int]) -> int:
        """Tokens of the longest of these chunks."""
        return max(len(self.ids[i]) for i in group)

    def texts(self, group: Sequence[int]) -> Texts:
        return Texts.pad([self.ids[i] for i in group], self.prompts.stop_id, self.split.model.device)

    def lower(self, part: Sequence[int]) -> Tensor | None:
        """Activations below the fast weights of a part of a batch; debited when its batch is read for the first time."""
        if part[0] not in self._lower:
            group = next(g for g in self._groups if part[0] in g)
            texts = self.texts(group)
            with self.ledger.debit("preparation", self._lower_fet(group)):
                lower = self.split.lower(texts.ids, texts.mask)
            self._lower |= {i: None if lower is None else lower[row, : len(self.ids[i])].clone() for row, i in enumerate(group)}
        rows = [row for i in part if (row := self._lower[i]) is not None]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else None

    def unread_fet(self, wanted: Sequence[int]) -> float:
        """What `lower` is going to debit for these chunks."""
        return sum(self._lower_fet(g) for g in self._groups if g[0] not in self._lower and set(g) & set(wanted))

    def upper_fet(self, group: Sequence[int], heads: int) -> float:
        """The layers above the cut, and the output head, as far as errors are taken over it, `heads` times at every token."""
        width = self.width(group)
        upper = self.cost.num_layers - self.split.cut
        head_tokens = heads * self.tokens(group) * self.share_of_head
        return self.cost.forward(width * len(group), width / 2, layers=upper, head_tokens=head_tokens)

    @property
    def share_of_head(self) -> float:
        """Share of the output head that errors and losses are taken over."""
        size = len(self.split.model.get_output_embeddings().weight)
        return min(self.vocabulary or size, size) / size

    def _lower_fet(self, group: Sequence[int]) -> float:
        width = self.width(group)
        return self.cost.forward(width * len(group), width / 2, layers=self.split.cut, head_tokens=0)
