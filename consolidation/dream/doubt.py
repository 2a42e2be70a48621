"""Doubt: how unlikely the protocol's reader finds a dreamt answer, the text before its eyes. What it doubts is not written.

The asker answers while it still has in mind what it wanted to ask; the reader sees the question as everyone will ask it. A question that
fits no text, or an answer to another question, would be written as a fact. Knows nothing about how dreams are made.
"""

from collections.abc import Sequence
from typing import Any

import torch

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.probe.items import Item, Size, collate, pack
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.learned import LearnedWrite
from nrem.consolidation.write.lend import lent
from nrem.memory.stream.chunk import QuestionAnswer

BATCH_TOKENS = 2048


class Doubt:
    """Reads with the static reader of a protocol, and nothing written."""

    def __init__(self, model: Any, reader: LearnedWrite[Any], prompts: Prompts, ledger: Ledger, cost: CostModel) -> None:
        self.model, self.reader, self.prompts, self.ledger, self.cost = model, reader, prompts, ledger, cost

    @torch.no_grad()
    def of(self, text: str, asked: Sequence[QuestionAnswer]) -> list[float]:
        """Mean NLL of each answer behind its question and the text, nats per token."""
        split, doubts = SplitModel(self.model, 0), [0.0] * len(asked)  # it remembers the text, for this once
        with lent(self.model, self.reader, None):
            for group in self._groups(text, asked):
                with self.ledger.debit("dreams", self._fet(group)):
                    nll = collate(group, self.prompts.stop_id, self.model.device).nll(split)
                for item, value in zip(group, nll.tolist(), strict=True):
                    doubts[item.chunk] = value
        return doubts

    def _groups(self, text: str, asked: Sequence[QuestionAnswer]) -> list[list[Item]]:
        context = self.prompts.plain_ids(text.strip() + "\n\n")
        prefix = tuple(self.prompts.question_prefix(context))
        rest = [self.prompts.question_ids(question, context)[len(prefix) :] for question, _ in asked]
        goals = [self.prompts.answer_ids(answer) for _, answer in asked]
        items = [Item(number, prefix, *parts) for number, parts in enumerate(zip(rest, goals, strict=True))]
        return pack(items, BATCH_TOKENS)

    def _fet(self, group: Sequence[Item]) -> float:
        size = Size.of(group)
        attached = self.cost.adapter(size.tokens, self.reader.reader_weights)
        return size.forward_fet(self.cost, layers=self.cost.num_layers, head=True) + attached
