"""Cues: what a model is shown to ask a question about one sentence of a text, and how what it says is read back.

    <start> TEXT  ⏎⏎ About: SENTENCE ⏎ Question:   ->   QUESTION ⏎

The same text stands in front of all of its cues. An asker learns to go on with the answer, so that it asks what the sentence answers.
Knows nothing about models.
"""

import re
from collections.abc import Sequence

from nrem.consolidation.prompts import ANSWER, Prompts
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.memory.stream.lines import lines_of
from nrem.memory.stream.sentences import sentences

LONGEST_SENTENCE = 400
"""Characters of a sentence that is asked about; the rest of a longer one is left out."""
LONGEST_QUESTION, LONGEST_ANSWER = 160, 120
"""Characters; what is longer is no question that somebody would ask, or no short answer."""
FEWEST_WORDS = 3
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")
"""A word, or a character of a script that puts no spaces between words."""


def sentences_to_ask(text: str) -> list[str]:
    """The sentences of a text that say enough to be asked about, in reading order, white space made one. Lines that are no prose count as
    sentences of their own."""
    found = [line for start, end in sentences(text) for line in lines_of(text[start:end])]
    return list(dict.fromkeys(s[:LONGEST_SENTENCE] for s in found if len(_WORD.findall(s)) >= FEWEST_WORDS))


def sentence_of(text: str, asked: QuestionAnswer) -> str | None:
    """The sentence that holds the answer, of several the one that shares most words with the question; None where none does."""
    words = set(_WORD.findall(asked.question.lower()))
    holding = [s for s in sentences_to_ask(text) if _holds(s, asked.answer)]
    return max(holding, key=lambda s: len(words.intersection(_WORD.findall(s.lower()))), default=None)


def text_ids(prompts: Prompts, text: str) -> list[int]:
    """The text that stands in front of its cues."""
    return prompts.plain_ids(text.strip() + "\n\n", start=True)


def cue_ids(prompts: Prompts, sentence: str) -> list[int]:
    """What asks for a question about a sentence."""
    return prompts.plain_ids(f"About: {sentence}\nQuestion:")


def goal_ids(prompts: Prompts, asked: QuestionAnswer) -> list[int]:
    """What is to be said to a cue: `QUESTION ⏎ Answer: ANSWER <stop>`."""
    return [*prompts.plain_ids(f" {asked.question.strip()}\n{ANSWER}"), *prompts.answer_ids(asked.answer)]


def question_said(prompts: Prompts, ids: Sequence[int]) -> str | None:
    """The question in what was said to a cue, its first line; None where that did not come to an end, or is long."""
    question, mark, _ = prompts.tokenizer.decode(list(ids), skip_special_tokens=True).partition("\n")
    return question.strip() if mark and 0 < len(question.strip()) <= LONGEST_QUESTION else None


def answer_said(prompts: Prompts, ids: Sequence[int], text: str) -> str | None:
    """The answer in what was said to a question; None where it did not come to an end, is long, or does not stand in the text."""
    if prompts.stop_id not in ids:
        return None
    answer = prompts.tokenizer.decode(list(ids), skip_special_tokens=True).strip()
    return answer if 0 < len(answer) <= LONGEST_ANSWER and _holds(text, answer) and _WORD.search(answer) else None


def _holds(text: str, answer: str) -> bool:
    return " ".join(answer.lower().split()) in " ".join(text.lower().split())
