"""Running a benchmark inside the test process on a tiny model, and the rows, passages and flags for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from nrem.consolidation.train.data import Passage
from nrem.memory.stream.chunk import QuestionAnswer

ROOMS = ("hallway", "garden", "kitchen", "office")
PLACES = ("Wexley", "Hallow", "Orrin", "Tarn", "Ilmen", "Sedge", "Marrow", "Quill")
PASSAGES = [
    Passage(
        place,
        f"The lamp of {place} burned {i + 2} litres.",
        (QuestionAnswer("How many litres?", str(i + 2)), QuestionAnswer("Where?", place)),
    )
    for i, place in enumerate(PLACES)
]


def babi_row(number: int) -> dict[str, Any]:
    """A document in the form of the bAbI files; two of a story."""
    room = ROOMS[number % 4]
    text = f"John went to the {room}. Mary took {number} apples to the bedroom."
    question = {"id": f"q{number}", "question": "Where is John?", "answers": [room], "support": [0], "n_facts": 2 + number % 2}
    return {"doc_id": f"d{number}", "dataset": "babi_1.2", "title": "qa1", "document": text, "story": number // 2, "questions": [question]}


def save_passages(path: Path) -> Path:
    """The passages in the form of the training files."""
    rows = [{"title": p.title, "context": p.text, "questions": [[q.question, q.answer] for q in p.given]} for p in PASSAGES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def flags(model: Path, *settings: str) -> list[str]:
    """A tiny model, chunks and answers to go with it, and these settings."""
    small = ("stream.chunk_tokens=64", "probes.facts_per_chunk=2", "probes.held_out_per_chunk=1", "answer.max_new_tokens=4")
    chosen = (f"model.name={model}", "model.dtype=fp32", "fast_weights.rank=4", "guard.unrelated_tokens=32", *small, *settings)
    return [word for setting in chosen for word in ("--set", setting)]


def run(module: Any, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Run a benchmark's main and read the JSON line that must come last."""
    module.main([*arguments, "--skip-tests", "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result
