"""One step of protocol training: write some chunks with K passes, ask about them closed book, and see what that cost other text.

    groups of passages -> K passes -> fast weights of every group -> questions, other text -> losses

Groups are memories of their own that share a batch. With order 1 what a pass read is taken as given and only the last write is
differentiated; with order 2 gradients run back through all passes. Knows nothing about optimisers or files.
"""

import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import reduce
from torch import Tensor

from nrem.consolidation.items import Item, collate
from nrem.consolidation.lend import lent
from nrem.consolidation.observe import Observation, Texts, observe
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.ridge import RidgeParameters
from nrem.consolidation.split_model import SplitModel
from nrem.consolidation.training_data import NOT_STATED, Passage, QuestionAnswer
from nrem.memory.statistics import Statistics


@dataclass
class Bench:
    """A base model with the protocol that is being trained or measured on it."""

    split: SplitModel
    protocol: Protocol
    parameters: RidgeParameters
    order: int = 1
    ordinary: dict[str, Tensor] = field(default_factory=dict)
    """What enters each adapted module when ordinary text is read, (token d_in): the protocol's background follows from it as A is learned.
    Empty: the background stays as it is."""

    @property
    def device(self) -> torch.device:
        return self.split.model.device

    def write(self, groups: Sequence[Sequence[Passage]], passes: int) -> dict[str, Tensor] | None:
        """Fast weights (group out rank) after so many passes over groups of equal size; None after 0."""
        if not passes:
            return None
        assert len({len(group) for group in groups}) == 1, "rows are dealt out to groups evenly"
        found = self.statistics([p for group in groups for p in group], passes)
        return self.parameters.solve({name: _sum_groups(s, len(groups)) for name, s in found.items()})

    def statistics(self, passages: Sequence[Passage], passes: int) -> dict[str, Statistics]:
        """What each passage leaves after so many passes, one entry a row; a pass rereads it with what it alone has left so far."""
        self.parameters.settle(self.ordinary)
        texts, lower = self._texts(passages)
        found: dict[str, Statistics] = {}
        for number in range(passes):
            with nullcontext() if self.order == 2 and number else torch.no_grad():
                fast = self.parameters.solve(found) if number else None
                seen = self._read(texts, lower, fast)
            with nullcontext() if number == passes - 1 or self.order == 2 else torch.no_grad():
                now = self.parameters.statistics(seen.inputs, seen.seen)
                found = self.parameters.refined(now, fast) if fast is not None else now
        return found

    def _texts(self, passages: Sequence[Passage]) -> tuple[Texts, Tensor | None]:
        """The passages as a pass reads them, and their activations below the cut."""
        rows = [self.protocol.chunk_ids(p.title, p.text) for p in passages]
        texts = Texts.pad(rows, self.protocol.stop_id, self.device)
        return texts, self.split.lower(texts.ids, texts.mask)

    def _read(self, texts: Texts, lower: Tensor | None, fast: dict[str, Tensor] | None) -> Observation:
        """Read once with these fast weights."""
        with lent(self.split.model, self.parameters, fast):
            return observe(self.split, texts, lower, self.parameters.names, self.parameters.error_vocabulary)

    def answer_nll(
        self, questions: Sequence[QuestionAnswer], fast: dict[str, Tensor] | None, contexts: Sequence[Passage] | None = None
    ) -> Tensor:
        """Mean NLL of each answer, nats per token; questions are group-major. `contexts` puts each question's passage in its prompt."""
        p = self.protocol
        items = []
        for number, (question, answer) in enumerate(questions):
            context = p.plain_ids(contexts[number].text.strip() + "\n\n") if contexts else ()
            items.append(Item(number, (), p.question_ids(question, context_ids=context), p.answer_ids(answer)))
        batch = collate(items, p.stop_id, self.device)
        with lent(self.split.model, self.parameters, fast):
            logits = batch.logits(self.split).float()
        nll = F.cross_entropy(logits, batch.targets, reduction="none")
        count = torch.bincount(batch.owner, minlength=len(items))
        return torch.zeros(len(items), device=nll.device).index_add(0, batch.owner, nll) / count

    def divergence(self, rows: Sequence[Sequence[int]], fast: dict[str, Tensor] | None) -> Tensor:
        """Mean KL(base || attached) on other text, nats per token; rows of equal length, as many for each group."""
        texts = Texts.pad(rows, self.protocol.stop_id, self.device)
        lower = self.split.lower(texts.ids, texts.mask)
        everywhere = texts.mask.bool()
        with torch.no_grad():
            base = torch.log_softmax(self.split.upper(texts.ids, texts.mask, lower, everywhere).float(), -1)
        with lent(self.split.model, self.parameters, fast):
            now = torch.log_softmax(self.split.upper(texts.ids, texts.mask, lower, everywhere).float(), -1)
        return (base.exp() * (base - now)).sum(-1).mean()


def _sum_groups(statistics: Statistics, groups: int) -> Statistics:
    return Statistics(
        reduce(statistics.C, "(g n) r s -> g r s", "sum", g=groups), reduce(statistics.M, "(g n) o r -> g o r", "sum", g=groups)
    )


def contrast(rng: random.Random, passages: Sequence[Passage], questions: Sequence[QuestionAnswer], share: float) -> list[QuestionAnswer]:
    """Give some prompts a question about another passage, whose answer is that it is not stated."""
    out = list(questions)
    for i in range(len(out)):
        j = rng.randrange(len(out))
        if rng.random() < share and questions[j].answer.lower() not in passages[i].text.lower():
            out[i] = QuestionAnswer(questions[j].question, NOT_STATED)
    return out
