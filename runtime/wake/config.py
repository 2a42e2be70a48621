"""The configuration of answering."""

import os
from dataclasses import dataclass

from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite
from nrem.runtime.wake.ways import AUTO, WAYS

LONGEST_ANSWER = 1024
"""Most tokens that an answer may be allowed to have: a model that finds no end is cut off there."""


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    way: str = AUTO
    """How to answer: `direct` from the adapter alone; `search` with the adapter and the chunk in the prompt that is found for the question;
    `read` with that chunk and no adapter; `auto` is `search` where the text was kept."""
    max_new_tokens: int = 24
    """Most tokens of an answer, at most 1024."""
    batch_size: int = 16
    """Questions decoded together where there is no text in the prompt."""
    sleep_again: int = 0
    """Passes to spend on the chunks that search finds, for a question whose direct answer is not sure enough; 0: never. With it, `auto` is
    `direct`."""
    sure: float = 0.5
    """`Answer.confidence` from which an answer is sure enough."""
    again_chunks: int = 3
    """Chunks that a question may be slept on again."""

    def __post_init__(self) -> None:
        check_finite(self, "answer")
        if self.way not in (AUTO, *WAYS):
            raise UsageError(f"answer.way: got {self.way!r}, expected {AUTO} or one of {', '.join(WAYS)}")
        for name, low in (("max_new_tokens", 1), ("batch_size", 1), ("sleep_again", 0), ("sure", 0), ("again_chunks", 1)):
            if (value := getattr(self, name)) < low:
                raise UsageError(f"answer.{name}: got {value}, expected {low} or more")
        if self.max_new_tokens > LONGEST_ANSWER:
            raise UsageError(f"answer.max_new_tokens: got {self.max_new_tokens}, expected at most {LONGEST_ANSWER}")


LONGEST_QUESTION = 1000
"""Most characters of a question; with a chunk beside it that fits in the prompt of every base model, in every script."""


def check_question(question: str) -> str:
    """The question as text; where the locale could not read its bytes, they are taken for UTF-8.

    Raises `UsageError` for one that cannot be asked: empty, longer than `LONGEST_QUESTION`, or not text.
    """
    if any("\ud800" <= character <= "\udfff" for character in question):
        try:
            question = os.fsencode(question).decode("utf-8")
        except UnicodeError:
            raise UsageError("question: got bytes that are no UTF-8 text; ask in UTF-8, or set LC_ALL to the terminal's locale") from None
    if not question.strip():
        raise UsageError("question: got an empty one; ask something")
    if len(question) > LONGEST_QUESTION:
        raise UsageError(f"question: got {len(question)} characters, expected at most {LONGEST_QUESTION}; ask something shorter")
    return question
