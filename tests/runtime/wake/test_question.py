"""What cannot be asked is refused in a sentence."""

import pytest

from nrem.memory.errors import UsageError
from nrem.runtime.wake.config import LONGEST_QUESTION, check_question


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (" \n", "question: got an empty one; ask something"),
        ("x" * (LONGEST_QUESTION + 1), f"question: got {LONGEST_QUESTION + 1} characters, expected at most {LONGEST_QUESTION}"),
        ("Wer war M\udcfcller?", "question: got bytes that are no UTF-8 text; ask in UTF-8, or set LC_ALL"),
    ],
)
def test_what_cannot_be_asked(question: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_question(question)


def test_what_can_be_asked() -> None:
    for question in ("Who?", "灯" * LONGEST_QUESTION, "x" * LONGEST_QUESTION):
        assert check_question(question) == question
    assert check_question("Wer war M\udcc3\udcbcller?") == "Wer war Müller?", "as it comes in where the locale is C"
