"""Questions about passages that are in the prompt: a passage is read once, and all questions about it follow it in the same row.

    passage   question 1 answer 1   question 2 answer 2   ...

Each question sees its passage and itself, at the positions that it would have alone, so that the losses are those of one prompt a question
at a fraction of the tokens. Knows nothing about how the questions were chosen.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.data import NOT_STATED, Passage
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.site import Sites
from nrem.memory.stream.chunk import QuestionAnswer

PASSAGE, PADDING = 0, -1
"""Blocks of a row; questions are 1, 2, ..."""


@dataclass(frozen=True, eq=False)
class PackedQuestions:
    """One row a passage, padded on the right."""

    ids: Int[Tensor, "passage token"]
    positions: Int[Tensor, "passage token"]
    block: Int[Tensor, "passage token"]
    """Which part of its row a token belongs to: the passage, a question, or padding."""
    select: Bool[Tensor, "passage token"]
    """Where the next token belongs to an answer."""
    targets: Int[Tensor, " selected"]
    owner: Int[Tensor, " selected"]
    """Index of the question, over all passages in order."""

    @classmethod
    def of(cls, protocol: Protocol, passages: Sequence[Passage], asked: Sequence[Sequence[QuestionAnswer]], device: torch.device) -> Self:
        """Each passage with the questions that are asked about it."""
        rows: list[list[tuple[int, int, int, bool]]] = []
        targets: list[int] = []
        owner: list[int] = []
        number = 0
        for passage, questions in zip(passages, asked, strict=True):
            context = protocol.plain_ids(passage.text.strip() + "\n\n")
            prefix = protocol.question_prefix(context)
            row = [(token, place, PASSAGE, False) for place, token in enumerate(prefix)]
            for block, (question, answer) in enumerate(questions, 1):
                prompt, goal = protocol.question_ids(question, context_ids=context), protocol.answer_ids(answer)
                tail = [*prompt[len(prefix) :], *goal]
                answers_from = len(tail) - len(goal) - 1
                row += [(t, len(prefix) + i, block, answers_from <= i < len(tail) - 1) for i, t in enumerate(tail)]
                targets += goal
                owner += [number] * len(goal)
                number += 1
            rows.append(row)
        width = max(len(row) for row in rows)
        padded = [row + [(protocol.stop_id, 0, PADDING, False)] * (width - len(row)) for row in rows]
        ids, positions, block_of, select = torch.tensor(padded).to(device).unbind(-1)
        return cls(ids, positions, block_of, select.bool(), torch.tensor(targets, device=device), torch.tensor(owner, device=device))

    def mask(self, dtype: torch.dtype) -> Float[Tensor, "passage 1 token token"]:
        """What is added to the scores of attention: a token sees those before it in the passage and in its own question."""
        seen = (self.block[:, None, :] == PASSAGE) | (self.block[:, None, :] == self.block[:, :, None])
        seen = seen & torch.ones(seen.shape[1:], dtype=torch.bool, device=seen.device).tril()
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)[:, None]

    def nll(self, split: SplitModel, sites: Sites[Any], fast: Mapping[str, Any] | None) -> Float[Tensor, " question"]:
        """Mean NLL of each answer, nats per token, reader and memory attached; rows are group-major, as many for each memory of `fast`.
        Gradients reach the readers of all layers."""
        with lent(split.model, sites, fast):
            logits = split.whole(self.ids, self.mask(split.model.dtype), self.positions, self.select).float()
        nll = F.cross_entropy(logits, self.targets, reduction="none")
        count = torch.bincount(self.owner)
        return torch.zeros(len(count), device=nll.device).index_add(0, self.owner, nll) / count


def contrast(
    rng: random.Random,
    passages: Sequence[Passage],
    asked: Sequence[Sequence[QuestionAnswer]],
    share: float,
    *,
    among: int,
    known: bool,
) -> list[list[QuestionAnswer]]:
    """Ask a share of the questions with another passage in the prompt, one of the same `among` neighbours: their answer is then that it is
    not stated, or stays what it was where a memory of all of them is on (`known`)."""
    out = [list(questions) for questions in asked]
    for i, questions in enumerate(out):
        first = i - i % among
        for k in range(len(questions)):
            j = first + rng.randrange(min(among, len(passages) - first))
            other = rng.choice(asked[j])
            if rng.random() < share and j != i and other.answer.lower() not in passages[i].text.lower():
                questions[k] = other if known else QuestionAnswer(other.question, NOT_STATED)
    return out
