"""Examples for the router: what every way answers to a memory's questions, kept in a bank, beside what was known of each question.

Knows nothing about fitting.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.runtime.measure.evaluate import ask_memory
from nrem.runtime.measure.questions import Question, sha256_of
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.rows import Asked
from nrem.runtime.tune.setting import Setting
from nrem.runtime.wake.decode import Answer
from nrem.runtime.wake.features import FEATURES, features_of
from nrem.runtime.wake.router import FIRST, Example
from nrem.runtime.wake.wake import Wake

BANK, EXAMPLES = "bank.jsonl", "examples.json"


def examples_of(
    wake: Wake,
    questions: Sequence[Question],
    ways: Sequence[str],
    folder: Path,
    group: str,
    count: Callable[[int, int], None] = lambda done, of: None,
) -> list[Example]:
    """One example a question, with all ways that the bank of this folder holds: `ways` are measured where they are missing. `group` names
    the document."""
    folder.mkdir(parents=True, exist_ok=True)
    done = 0

    def measure(setting: Setting, numbers: Sequence[int]) -> Iterator[tuple[int, Asked]]:
        nonlocal done
        size = wake.config.answer.batch_size
        for start in range(0, len(numbers), size):
            some = numbers[start : start + size]
            for number, outcome in zip(some, ask_memory(wake, [questions[n] for n in some], setting.way), strict=True):
                yield number, Asked.of(outcome)
            done += len(some)
            count(done, len(ways) * len(questions))

    bank = Bank(folder / BANK, measure)
    bank.begin({"memory": dict(wake.memory.record.files), "questions": {"count": len(questions), "sha256": sha256_of(questions)}})
    for way in dict.fromkeys((FIRST, *ways)):
        bank.fill(Setting(passes=0, way=way), range(len(questions)))  # whatever the memory has had: a bank of one memory
    rows = {row.way: row for row in bank.rows() if len(row.asked) == len(questions)}
    documents = tuple(document.sha256 for document in wake.memory.record.documents)
    examples = []
    for n, (question, first) in enumerate(zip(questions, rows[FIRST].asked, strict=True)):
        asked = {way: row.asked[n] for way, row in rows.items()}
        features = features_of(_as_answer(question, first), wake.memory)
        right, fet = ({way: getattr(a, name) for way, a in asked.items()} for name in ("right", "fet"))
        name = hashlib.sha256(json_text([question.question, sorted(question.answers)]).encode()).hexdigest()
        examples.append(Example(group=group, features=tuple(features), right=right, fet=fet, documents=documents, question=name))
    save_examples(folder, examples)
    return examples


def told_apart(examples: Sequence[Example]) -> list[Example]:
    """Each question of a document once, by what was measured first in each way, and under one group whatever shares a document, over
    however many memories: who is judged on one of them must not have seen another."""
    joined: dict[str, str] = {}

    def home(document: str) -> str:
        while joined.setdefault(document, document) != document:
            document = joined[document]
        return document

    for example in examples:
        for document in example.documents:
            joined[home(document)] = home(example.documents[0])
    found: dict[str, list[Example]] = {}
    for example in examples:
        same = found.setdefault(example.question, [])
        place = next((n for n, e in enumerate(same) if set(e.documents) & set(example.documents)), len(same))
        if place == len(same):
            same.append(replace(example, group=home(example.documents[0])[:16]))
        else:
            first = same[place]
            same[place] = replace(first, right={**example.right, **first.right}, fet={**example.fet, **first.fet})
    return [example for same in found.values() for example in same]


def save_examples(folder: Path, examples: Sequence[Example]) -> None:
    """For later fits: numbers, and hashes of the documents and the question only, no text."""
    write_text(folder / EXAMPLES, json_text({"features": FEATURES, "examples": [asdict(e) for e in examples]}) + "\n")


def read_examples(folder: Path) -> list[Example]:
    """Those of a folder; none where they cannot be read, are of other features, or do not name their documents, as once they did not: they
    can be made again."""
    try:
        values = parse_json((folder / EXAMPLES).read_text(encoding="utf-8"))
        found = [Example.from_dict(row) for row in values["examples"]] if tuple(values["features"]) == FEATURES else []
        return found if all(example.documents and example.question for example in found) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _as_answer(question: Question, asked: Asked) -> Answer:
    """The direct answer, as far as features are taken from it."""
    return Answer(
        question=question.question,
        answer=asked.answer,
        prompt_tokens=0,
        document_tokens=0,
        answer_tokens=asked.answer_tokens,
        fet=asked.fet,
        seconds=asked.seconds,
        token_confidence=asked.token_confidence,
    )
