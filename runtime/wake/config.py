"""The configuration of answering."""

import os
from dataclasses import dataclass

from nrem.consolidation.prompts import OWN_WORDING, check_wording
from nrem.memory.arguments import check_kind
from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite
from nrem.runtime.wake.ways import AUTO, ROUTER, parse_way

LONGEST_ANSWER = 1024
"""Most tokens that an answer may be allowed to have: a model that finds no end is cut off there."""


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    way: str = AUTO
    """How to answer, NAME or NAME:AMOUNT: `direct` from the adapter alone; `read` with the chunk in the prompt that is found for the
    question (`read:2`: in two rounds), the adapter off; `search` with that prompt and the adapter on; `ensemble` by both and what the
    adapter says alone; `think:32`, `vote:5` and `again:2` spend more on a question: `nrem ask --help` has them all. `auto` is
    `ensemble` where the text was kept, `read` where it is one chunk, and `direct` where it was forgotten; `router` chooses for each
    question, after `nrem calibrate`."""
    price: float = 0.0
    """Points of accuracy that 1,000 FET must gain for `router` to spend them on a question; 0 spends whatever gains anything."""
    max_new_tokens: int = 24
    """Most tokens of an answer, at most 1024."""
    batch_size: int = 16
    """Questions decoded together where there is no text in the prompt."""
    sleep_again: int = 0
    """The same as `answer.way = "again:N"`, by which it was replaced: from 1 on `auto` is `again:N` where the text was kept."""
    sure: float = 0.5
    """`Answer.confidence` from which an answer is sure enough: `ask` does not say "not sure", and `again` spends no pass on it."""
    again_chunks: int = 3
    """Chunks that a question may be slept on again."""
    not_stated: float = 0.0
    """Probability of the beginning of "not stated", in place of the answer, from which the document is taken not to say it; 0: only where
    "not stated" is the answer."""
    wording: str = OWN_WORDING
    """What a question becomes in the prompt; `{question}` stands for it. It is searched for as it was asked."""

    def __post_init__(self) -> None:
        check_finite(self, "answer")
        if self.way not in (AUTO, ROUTER):
            try:
                parse_way(self.way)
            except UsageError as error:
                raise UsageError(f"answer.{error}") from None
        check_wording(self.wording, "answer.wording")
        lowest = {"max_new_tokens": 1, "batch_size": 1, "sleep_again": 0, "sure": 0, "again_chunks": 1, "not_stated": 0, "price": 0}
        for name, low in lowest.items():
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
    check_kind("question", question, str, "a question as text")
    if any("\ud800" <= character <= "\udfff" for character in question):
        try:
            question = os.fsencode(question).decode("utf-8")
        except UnicodeError:
            raise UsageError("question: got bytes that are no UTF-8 text; ask in UTF-8, or set LC_ALL to the terminal's locale") from None
    if "\0" in question:
        raise UsageError("question: got a NUL character, expected text; this looks like binary input")
    if not question.strip():
        raise UsageError("question: got an empty one; ask something")
    if len(question) > LONGEST_QUESTION:
        raise UsageError(f"question: got {len(question)} characters, expected at most {LONGEST_QUESTION}; ask something shorter")
    return question
