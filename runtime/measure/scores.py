"""Scores of an answer against the accepted ones: exact match and F1 as in SQuAD, and the rule that a data set is usually scored by.

Knows nothing about models; a data set is known by its name only, and one that is not in the table is scored by exact match.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nrem.runtime.wake.normal import normalise

ROOMS = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
INTEGER = re.compile(r"-?\d+")
CLOSED = ("yes", "no")
"""Answers that are right or wrong: sharing a word with them is worth nothing (HotpotQA)."""
Rule = Callable[[str, str, Sequence[str]], bool]
"""(question, output, accepted answers) -> right or not."""


@dataclass(frozen=True)
class Score:
    """One answer's marks, each 0 to 1."""

    em: float
    f1: float
    accuracy: float
    """By the data set's own rule; the exact match where it has none."""


def exact_match(output: str, answers: Sequence[str]) -> float:
    """1 when the output equals one of the accepted answers after normalisation."""
    return float(normalise(output) in {normalise(answer) for answer in answers})


def f1(output: str, answers: Sequence[str]) -> float:
    """Word F1 with the accepted answer that fits best.

    >>> round(f1("in the garden of Eden", ["the garden"]), 2)
    0.4
    """
    return max(_f1(normalise(output), normalise(answer)) for answer in answers)


def _f1(output: str, answer: str) -> float:
    if answer in CLOSED or not output or not answer:
        return float(output == answer)
    said, wanted = output.split(), answer.split()
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted))


def _only_room(question: str, output: str, answers: Sequence[str]) -> bool:
    """BABILong (arXiv 2406.10149): of the rooms in the first sentence, the answer alone is left without those of the question."""
    first = output.lower().split(".")[0]
    named = {room for room in ROOMS if room in first and room not in question.lower()}
    return any(named == {answer.lower()} for answer in answers)


def _last_integer(question: str, output: str, answers: Sequence[str]) -> bool:
    found = INTEGER.findall(output.replace(",", ""))
    return bool(found) and str(int(found[-1])) in answers


def _whole_value(question: str, output: str, answers: Sequence[str]) -> bool:
    return any(answer in output for answer in answers)


RULES: dict[str, Rule] = {
    "babi_1.2": _only_room,
    "babilong_style": _only_room,
    "gsm_infinite": _last_integer,
    "kv_retrieval_75": _whole_value,
}


def score(question: str, output: str, answers: Sequence[str], dataset: str = "") -> Score:
    """All marks of one output.

    >>> score("Where is John?", "In the hallway, I think.", ["hallway"], "babi_1.2")
    Score(em=0.0, f1=0.4, accuracy=1.0)
    """
    em = exact_match(output, answers)
    rule = RULES.get(dataset)
    return Score(em=em, f1=f1(output, answers), accuracy=float(rule(question, output, answers)) if rule else em)
