"""Answers that a run has got already, kept in the cache, so that a run that is broken off goes on where it was. Knows nothing about arms.

They belong to one commit, configuration, base model, protocol and text: with anything else everything is asked again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.harness.common import commit
from nrem.runtime.measure.evaluate import Outcome
from nrem.runtime.measure.questions import Question
from nrem.runtime.measure.scores import score
from nrem.runtime.models.default import cache_folder
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.wake import Wake

FILE = "answers.jsonl"


def answered(room: str, wake: Wake, arm: str, text: str, questions: Sequence[Question], ask: Callable[[], list[Outcome]]) -> list[Outcome]:
    """What `ask` gives, or what it gave before for these questions about this text under this arm."""
    path = cache_folder() / room / FILE
    asked = [[q.question, *q.answers] for q in questions]
    values = [commit(), repr(wake.config), wake.base.identity.to_dict(), wake.protocol.sha256, arm, text, asked]
    key = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if (row := _parsed(line)) and row["key"] == key:
                return [_outcome(question, values) for question, values in zip(questions, row["answers"], strict=True)]
    found = ask()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": key, "answers": [asdict(o.answer) | {"nll": o.nll} for o in found]}) + "\n")
    return found


def _parsed(line: str) -> dict[str, Any] | None:
    """None for a line that a kill has torn."""
    try:
        row: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return row


def _outcome(question: Question, values: dict[str, Any]) -> Outcome:
    nll = values.pop("nll")
    answer = Answer(**values | {"leans_on": tuple(values["leans_on"])})
    return Outcome(question, answer, nll, score(question.question, answer.answer, question.answers, question.dataset))
