"""What a chunk may hold as dreams: pairs of a question and its answer, short and of text. Knows no chunks."""

from typing import Any

from nrem.memory.errors import MemoryFolderError

DREAMT = "dreamt"
"""The field of a chunk that holds them."""
LONGEST_DREAM = 1000
"""Characters of a question, and of an answer; as many as a question that somebody asks may have."""


def check_dreams(values: Any) -> None:
    """Raises `MemoryFolderError`, naming the field and the place in it, for the first thing that is no question with its answer."""
    if not isinstance(values, (list, tuple)):
        raise MemoryFolderError(f"the field {DREAMT} of a chunk is a list of questions with their answers, got {type(values).__name__}")
    for number, pair in enumerate(values):
        if problem := _problem(pair):
            raise MemoryFolderError(f"the field {DREAMT}[{number}] of a chunk is a question with its answer, got {problem}")


def _problem(pair: Any) -> str:
    """What stands there instead, in words that quote nothing: it may be of any size and depth."""
    if not isinstance(pair, (list, tuple)):
        return type(pair).__name__
    if len(pair) != 2:
        return f"{len(pair)} values"
    for what, said in zip(("question", "answer"), pair, strict=True):
        if not isinstance(said, str):
            return f"{type(said).__name__} as {what}"
        if len(said) > LONGEST_DREAM:
            return f"{len(said):,} characters as {what}, expected at most {LONGEST_DREAM:,}"
        if not said.strip():
            return f"a blank {what}"
        if any("\ud800" <= character <= "\udfff" for character in said):
            return f"half of a surrogate pair in the {what}"
    return ""
