"""What passes of a sleep read: token ids in batches of about equal length, and their activations below the fast weights.

The chunks themselves, and what was dreamt about them. The lower activations are computed once, for whole batches, so that a sleep that was
cut off finds the same; every pass reuses them. Knows nothing about how a pass writes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, lru_cache
from typing import Any, Generic, TypeVar

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
DREAM_STRENGTH = 1.0
"""Of a token of a dreamt answer, where a text's own has 1."""
SPREAD = 1.15
"""Longest over shortest text of a batch: padding is read like text."""


K = TypeVar("K", bound=Hashable)


class SleepRows(Generic[K]):
    """Texts by a key, for the time of a sleep; empty between sleeps."""

    def __init__(
        self,
        split: SplitModel,
        prompts: Prompts,
        ledger: Ledger,
        cost: CostModel,
        vocabulary: int = 0,
        attached: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """`attached`: what is on while the layers below the fast weights read, where that is not what the caller has attached."""
        self.split, self.prompts, self.ledger, self.cost, self.vocabulary = split, prompts, ledger, cost, vocabulary
        self.attached = attached
        self.ids: dict[K, list[int]] = {}
        self._groups: list[list[K]] = []
        self._lower: dict[K, Tensor | None] = {}

    def take(self, ids: Mapping[K, list[int]]) -> None:
        """These texts, in batches."""
        self.ids, self._groups, self._lower = dict(ids), [], {}
        for key in sorted(self.ids, key=lambda key: (len(self.ids[key]), key)):
            last = self._groups[-1] if self._groups else []
            width = len(self.ids[key])
            if last and width * (len(last) + 1) <= BATCH_TOKENS and width <= SPREAD * len(self.ids[last[0]]):
                last.append(key)
            else:
                self._groups.append([key])

    def end(self) -> None:
        self.ids, self._groups, self._lower = {}, [], {}

    def groups(self, wanted: Sequence[K]) -> list[list[K]]:
        """These texts in batches that are read at once."""
        asked = set(wanted)
        return [part for group in self._groups if (part := [key for key in group if key in asked])]

    def tokens(self, wanted: Sequence[K]) -> int:
        """Tokens of these texts, padding left out."""
        return sum(len(self.ids[key]) for key in wanted)

    def written(self, wanted: Sequence[K]) -> int:
        """Tokens of these texts that are written, and that errors are taken at."""
        return self.tokens(wanted)

    def width(self, group: Sequence[K]) -> int:
        """Tokens of the longest of these texts."""
        return max(len(self.ids[key]) for key in group)

    def texts(self, group: Sequence[K]) -> Texts:
        return Texts.pad([self.ids[key] for key in group], self.prompts.stop_id, self.split.model.device)

    def lower(self, part: Sequence[K]) -> Tensor | None:
        """Activations below the fast weights of a part of a batch; debited when its batch is read for the first time."""
        if part[0] not in self._lower:
            group = next(g for g in self._groups if part[0] in g)
            texts = self.texts(group)
            with self.ledger.debit("preparation", self._lower_fet(group)), self.attached():
                lower = self.split.lower(texts.ids, texts.mask)
            self._lower |= {key: None if lower is None else lower[row, : len(self.ids[key])].clone() for row, key in enumerate(group)}
        rows = [row for key in part if (row := self._lower[key]) is not None]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else None

    def unread_fet(self, wanted: Sequence[K]) -> float:
        """What `lower` is going to debit for these texts."""
        return sum(self._lower_fet(g) for g in self._groups if g[0] not in self._lower and set(g) & set(wanted))

    def upper_fet(self, group: Sequence[K], heads: int) -> float:
        """The layers above the cut, and the output head, as far as errors are taken over it, `heads` times at all that is written."""
        width = self.width(group)
        upper = self.cost.num_layers - self.split.cut
        head_tokens = heads * self.written(group) * self.share_of_head
        return self.cost.forward(width * len(group), width / 2, layers=upper, head_tokens=head_tokens)

    @property
    def share_of_head(self) -> float:
        """Share of the output head that errors and losses are taken over."""
        size = len(self.split.model.get_output_embeddings().weight)
        return min(self.vocabulary or size, size) / size

    def _lower_fet(self, group: Sequence[K]) -> float:
        width = self.width(group)
        return self.cost.forward(width * len(group), width / 2, layers=self.split.cut, head_tokens=0)


class SleepTexts(SleepRows[int]):
    """The chunks, by their index."""

    @cached_property
    def _ids_of(self) -> Callable[[str, str], list[int]]:
        return lru_cache(maxsize=KEPT)(self.prompts.chunk_ids)

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """These chunks."""
        self.take({chunk.index: self._ids_of(chunk.title, chunk.text) for chunk in chunks})


Dreamt = tuple[int, int]
"""Index of a chunk, and the number of a question about it."""


class SleepDreams(SleepRows[Dreamt]):
    """What was dreamt about the chunks: each question with its answer, as it will be asked; only the answer is written."""

    def begin(self, chunks: Sequence[Chunk]) -> None:
        """What was dreamt about these chunks."""
        asked = {(chunk.index, number): pair for chunk in chunks for number, pair in enumerate(chunk.dreamt)}
        goals = {key: self.prompts.answer_ids(answer) for key, (_, answer) in asked.items()}
        self._answer = {key: len(goal) for key, goal in goals.items()}
        self.take({key: self.prompts.question_ids(question) + goals[key] for key, (question, _) in asked.items()})

    def about(self, chunks: Sequence[int]) -> list[Dreamt]:
        """What was dreamt about these chunks."""
        wanted = set(chunks)
        return [key for key in self.ids if key[0] in wanted]

    def written(self, wanted: Sequence[Dreamt]) -> int:
        return sum(self._answer[key] for key in wanted)

    def texts(self, group: Sequence[Dreamt]) -> Texts:
        return with_answers_written(super().texts(group), [self._answer[key] for key in group])


def with_answers_written(texts: Texts, answers: Sequence[int]) -> Texts:
    """Texts that end in answers of so many tokens, which alone are written."""
    place, ends = torch.arange(texts.ids.shape[1], device=texts.ids.device), texts.mask.sum(1, keepdim=True) - 1
    first = ends - torch.tensor(answers, device=texts.ids.device)[:, None]
    return texts._replace(written=DREAM_STRENGTH * ((place >= first) & (place < ends)).float())
