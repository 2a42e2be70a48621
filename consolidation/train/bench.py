"""One step of protocol training: write some chunks with K passes, ask about them closed book, and see what that cost other text.

    groups of passages -> K passes -> fast weights of every group -> questions, other text -> losses

Groups are memories of their own that share a batch. With order 1 what a pass read is taken as given, but for the keys of the first where
a scribe learns; with order 2 gradients run back through all passes. Knows nothing about optimisers, files or write rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nrem.consolidation.probe.items import Item, collate
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.batches import with_answers_written
from nrem.consolidation.read.observe import Texts
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.data import Passage
from nrem.consolidation.write.learned import LearnedWrite
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.reading import Reading
from nrem.memory.stream.chunk import QuestionAnswer


@dataclass
class Bench:
    """A base model with the protocol that is being trained or measured on it."""

    split: SplitModel
    protocol: Protocol
    parameters: LearnedWrite[Any]
    order: int = 1
    scribe_texts: int = 4
    """Texts of a step, at most, through whose keys gradients run into the scribe, where one is trained."""
    ordinary: dict[str, Tensor] = field(default_factory=dict)
    """What enters each adapted module when ordinary text is read, (token d_in): what the protocol measures there follows from it as A is
    learned. Empty: it stays as it is."""

    @property
    def device(self) -> torch.device:
        return self.split.model.device

    def write(self, groups: Sequence[Sequence[Passage]], passes: int) -> dict[str, Any] | None:
        """What was written after so many passes over groups of equal size, one memory a group; None after 0."""
        if not passes:
            return None
        assert len({len(group) for group in groups}) == 1, "rows are dealt out to groups evenly"
        return self.parameters.write(self.reading([p for group in groups for p in group], len(groups)), passes)

    def reading(self, passages: Sequence[Passage], memories: int) -> Reading:
        """The passages as passes read them, group-major, written into so many memories."""
        self.parameters.settle(self.ordinary)
        rows = [self.protocol.chunk_ids(p.title, p.text) for p in passages]
        texts = Texts.pad(rows, self.protocol.stop_id, self.device)
        scribe, learning = self.parameters.scribe, self.scribe_texts if self.parameters.learns_to_read else 0
        with lent(self.split.model, self.parameters, None, scribe):  # a reader may sit below the cut
            lower = self.split.lower(texts.ids, texts.mask)
        dreams = self._dreams(passages, memories)
        with lent(self.split.model, self.parameters, None):
            below = self.split.lower(dreams.ids, dreams.mask) if dreams else None
        vocabulary = self.parameters.error_vocabulary
        beside = (dreams, below) if dreams else None
        return Reading(self.split, self.parameters, texts, lower, memories, vocabulary, self.order, beside, scribe, learning)

    def _dreams(self, passages: Sequence[Passage], memories: int) -> Texts | None:
        """What was dreamt about the passages, as many rows for each memory: empty ones stand in where there is less; None for nothing."""
        p, size = self.protocol, len(passages) // memories
        about = [[asked for passage in passages[i : i + size] for asked in passage.dreamt] for i in range(0, len(passages), size)]
        if not (most := max(map(len, about))):
            return None
        rows: list[list[int]] = []
        answers: list[int] = []
        for mine in about:
            goals = [p.answer_ids(answer) for _, answer in mine]
            rows += [p.question_ids(question) + goal for (question, _), goal in zip(mine, goals, strict=True)]
            rows += [[p.stop_id]] * (most - len(mine))
            answers += [*map(len, goals), *[0] * (most - len(mine))]
        return with_answers_written(Texts.pad(rows, p.stop_id, self.device), answers)

    def answer_nll(
        self,
        questions: Sequence[QuestionAnswer],
        fast: Mapping[str, Any] | None,
        contexts: Sequence[Passage] | None = None,
    ) -> Tensor:
        """Mean NLL of each answer, nats per token; questions are group-major. `contexts` puts each question's passage in its prompt."""
        p = self.protocol
        items = []
        for number, (question, answer) in enumerate(questions):
            context = p.plain_ids(contexts[number].text.strip() + "\n\n") if contexts else ()
            items.append(Item(number, (), p.question_ids(question, context_ids=context), p.answer_ids(answer)))
        halves = _halves(items, len(next(iter(fast.values()))) if fast else 1)
        order = torch.tensor([i for half in halves for i in half], device=self.device).argsort()
        return torch.cat([self._nll([items[i] for i in half], fast) for half in halves])[order]

    def _nll(self, items: Sequence[Item], fast: Mapping[str, Any] | None) -> Tensor:
        batch = collate(items, self.protocol.stop_id, self.device)
        with lent(self.split.model, self.parameters, fast):
            return batch.nll(self.split)

    def divergence(self, rows: Sequence[Sequence[int]], fast: Mapping[str, Any] | None, every: int = 1) -> Tensor:
        """Mean KL(base || attached) on other text, nats per token; rows of equal length, as many for each group.

        Taken at `every` so many tokens of a row: the whole vocabulary at each of them costs more than the layers.
        """
        texts = Texts.pad(rows, self.protocol.stop_id, self.device)
        lower = self.split.lower(texts.ids, texts.mask)
        select = texts.mask.bool() & (torch.arange(1, texts.mask.shape[1] + 1, device=self.device) % every == 0)
        with torch.no_grad():
            base = torch.log_softmax(self.split.upper(texts.ids, texts.mask, lower, select).float(), -1)
        with lent(self.split.model, self.parameters, fast):
            if self.parameters.reader_names:
                lower = self.split.lower(texts.ids, texts.mask)
            now = torch.log_softmax(self.split.upper(texts.ids, texts.mask, lower, select).float(), -1)
        return (base.exp() * (base - now)).sum(-1).mean()


def _halves(items: Sequence[Item], groups: int) -> list[list[int]]:
    """The shorter half of every group's items, and the longer: one long question would pad all the others of its batch."""
    size = len(items) // groups
    ranked = [sorted(range(start, start + size), key=lambda i: len(items[i])) for start in range(0, len(items), size)]
    halves = [i for group in ranked for i in group[: size // 2]], [i for group in ranked for i in group[size // 2 :]]
    return [half for half in halves if half]
