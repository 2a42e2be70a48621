"""Questions about passages that are in the prompt: a passage is read once, and all questions about it follow it in the same row.

Knows nothing about how the questions were chosen, and leaves to `packed` how they are kept apart.
"""

import random
from collections.abc import Sequence
from typing import Self

import torch

from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.train.data import NOT_STATED, Passage
from nrem.consolidation.train.packed import Packed, Row
from nrem.memory.stream.chunk import QuestionAnswer


class PackedQuestions(Packed):
    """One row a passage, one tail a question, with its answer as the goal."""

    @classmethod
    def of(cls, protocol: Protocol, passages: Sequence[Passage], asked: Sequence[Sequence[QuestionAnswer]], device: torch.device) -> Self:
        """Each passage with the questions that are asked about it."""
        rows: list[Row] = []
        for passage, questions in zip(passages, asked, strict=True):
            context = protocol.plain_ids(passage.text.strip() + "\n\n")
            prefix = protocol.question_prefix(context)
            prompts = [protocol.question_ids(question, context_ids=context)[len(prefix) :] for question, _ in questions]
            rows.append((prefix, list(zip(prompts, (protocol.answer_ids(answer) for _, answer in questions), strict=True))))
        return cls.rows(rows, protocol.stop_id, device)


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
