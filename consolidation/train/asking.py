"""What an asker learns from: passages with questions, each question behind a cue at the sentence that holds its answer.

    <start> TEXT   cue 1   question 1 answer 1   cue 2   question 2 answer 2   ...

A passage is read once, and all of its cues follow it in one row. Knows nothing about how passages are drawn.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.dream.cue import LONGEST_ANSWER, LONGEST_QUESTION, cue_ids, goal_ids, sentence_of, text_ids
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.data import Passage, PassageFile
from nrem.consolidation.train.packed import Packed
from nrem.memory.stream.chunk import QuestionAnswer


@dataclass(frozen=True)
class CuedText:
    """A text, and at some of its sentences what is to be asked there."""

    text: str
    cues: tuple[tuple[str, QuestionAnswer], ...]
    """(sentence, question and answer)."""

    @classmethod
    def of(cls, passage: Passage) -> Self:
        """All questions given with a passage of which one can be dreamt: in one line, not too long, with an answer that stands in one
        sentence of the text."""
        asked = [given for given in passage.given if _can_be_dreamt(given)]
        found = [(sentence, given) for given in asked if (sentence := sentence_of(passage.text, given)) is not None]
        return cls(passage.text, tuple(found))

    def some(self, count: int, rng: random.Random | None = None) -> Self:
        """With at most so many of its cues: drawn, or else the first ones."""
        chosen = self.cues[:count] if rng is None else rng.sample(self.cues, min(count, len(self.cues)))
        return type(self)(self.text, tuple(chosen))


class PackedCues(Packed):
    """One row a text, one tail a cue, with question and answer as the goal."""

    @classmethod
    def of(cls, prompts: Prompts, texts: Sequence[CuedText], device: torch.device) -> Self:
        """Each text with its cues."""
        tails = [[(cue_ids(prompts, sentence), goal_ids(prompts, asked)) for sentence, asked in text.cues] for text in texts]
        return cls.rows([(text_ids(prompts, t.text), behind) for t, behind in zip(texts, tails, strict=True)], prompts.stop_id, device)


def token_nll(split: SplitModel, prompts: Prompts, asker: Asker, texts: Sequence[CuedText]) -> Tensor:
    """NLL of each token of all questions and answers behind their cues, nats; each text has at least one."""
    return PackedCues.of(prompts, texts, split.model.device).token_nll(split, asker, None)


@torch.no_grad()
def mean_nll(split: SplitModel, prompts: Prompts, asker: Asker, texts: Sequence[CuedText], together: int) -> float:
    """Mean of `token_nll`, so many texts at a time."""
    ordered = sorted(texts, key=lambda t: len(t.text))
    parts = [token_nll(split, prompts, asker, ordered[start : start + together]) for start in range(0, len(ordered), together)]
    return float(torch.cat(parts).mean())


def asked_about(sources: Sequence[PassageFile]) -> list[PassageFile]:
    """The sources without the passages that no question was given with, and without those that have no other."""
    kept = [(s.name, tuple(tuple(p for p in document if p.given) for document in s.documents)) for s in sources]
    return [PassageFile(name, tuple(d for d in documents if d)) for name, documents in kept if any(documents)]


def _can_be_dreamt(given: QuestionAnswer) -> bool:
    """Whether an asker that says this would be understood, see `cue.question_said` and `cue.answer_said`."""
    question, answer = given.question.strip(), given.answer.strip()
    fits = 0 < len(question) <= LONGEST_QUESTION and 0 < len(answer) <= LONGEST_ANSWER
    return fits and "\n" not in question + answer
