"""Questions with their accepted answers, and documents that carry their own: JSON lines in, plain values out. Knows nothing about models.

Two kinds of line: `{"id", "question", "answers"}`, or a document `{"doc_id", "dataset", "title", "document", "questions": [...]}`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nrem.memory.errors import DocumentError
from nrem.memory.saved.json_lines import read_json_lines
from nrem.memory.saved.json_text import json_text
from nrem.runtime.wake.config import LONGEST_QUESTION

WANTED = "questions with answers"
LABELS = ("n_facts", "ops", "hops", "position", "difficulty", "facts")
"""Fields that say how hard a question is, of the question or of its document."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; any of `answers` is right, the first is the one whose likelihood is measured."""

    id: str
    question: str
    answers: tuple[str, ...]
    dataset: str = ""
    """Names the rule that it is scored by."""
    labels: Mapping[str, int | str] = field(default_factory=dict)
    """How hard it is, in the words of the data."""


@dataclass(frozen=True, kw_only=True)
class QuestionedDocument:
    """A text with questions about it."""

    id: str
    title: str
    text: str
    group: str
    """Documents of one group share text and are drawn together when they are resampled."""
    questions: tuple[Question, ...]


def sha256_of(questions: Sequence[Question]) -> str:
    """Of what is asked and how it is scored: outcomes that are kept belong to exactly these."""
    return hashlib.sha256(json_text([[q.question, q.answers, q.dataset] for q in questions]).encode()).hexdigest()


def read_questions(path: str | Path) -> list[Question]:
    """All questions of a file; raises `MissingFileError`, and `DocumentError` naming the line."""
    found: list[Question] = []
    for where, row in read_json_lines(Path(path), WANTED):
        if "questions" in row:
            found += _questions(row, where)
        else:
            found.append(_question(row, {}, f"{len(found) + 1}", where))
    return found


def read_documents(path: str | Path) -> list[QuestionedDocument]:
    """All documents of a file; raises `MissingFileError`, and `DocumentError` naming the line."""
    found = []
    for number, (where, row) in enumerate(read_json_lines(Path(path), WANTED), 1):
        text = row.get("document")
        if not isinstance(text, str) or not text.strip():
            raise DocumentError(f"{where}: no text under document; each line needs document and questions")
        name = str(row.get("doc_id", number))
        group = f"story {row['story']}" if "story" in row else name
        title = str(row.get("title", ""))
        found.append(QuestionedDocument(id=name, title=title, text=text, group=group, questions=tuple(_questions(row, where))))
    return found


def _questions(row: Mapping[str, Any], where: str) -> list[Question]:
    listed = row.get("questions")
    if not isinstance(listed, list) or not listed or not all(isinstance(q, dict) for q in listed):
        raise DocumentError(f"{where}: questions must be a list of objects with question and answers, got {str(listed)[:40]!r}")
    return [_question(q, row, f"{row.get('doc_id', '')}-{i}", where) for i, q in enumerate(listed)]


def _question(q: Mapping[str, Any], row: Mapping[str, Any], default_id: str, where: str) -> Question:
    text, answers = q.get("question"), q.get("answers")
    if not isinstance(text, str) or not text.strip():
        raise DocumentError(f'{where}: no text under question; a line is {{"id", "question", "answers": [...]}}')
    if "\0" in text:
        raise DocumentError(f"{where}: a question has a NUL character in it, expected text")
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise DocumentError(f"{where}: answers of {text[:40]!r} must be a list of one or more strings, got {str(answers)[:40]}")
    if (longest := max(map(len, [text, *answers]))) > LONGEST_QUESTION:
        raise DocumentError(f"{where}: a question or an answer has {longest} characters, expected at most {LONGEST_QUESTION}")
    labels = {name: value for name in LABELS if isinstance(value := q.get(name, row.get(name)), int | str)}
    if isinstance(support := q.get("support"), list):
        labels["facts_needed"] = len(support)
    name, dataset = str(q.get("id", default_id)), str(q.get("dataset", row.get("dataset", "")))
    return Question(id=name, question=text, answers=tuple(answers), dataset=dataset, labels=labels)
