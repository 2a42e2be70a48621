"""The benchmark of search: where the right chunk is among what is found."""

import json
from pathlib import Path

import pytest

from benchmarks import search
from nrem.memory.errors import UsageError
from nrem.runtime.models.load import Base
from tests.benches import run

LAMP = "The lamp of Orrin burned 60 litres of oil a night. " * 3
BOAT = "Aldo sailed the boat to Wexley on Tuesdays and came home late. " * 3


def document(*questions: tuple[str, str], text: str = f"{LAMP}\n\n{BOAT}") -> str:
    asked = [{"id": str(i), "question": question, "answers": [answer]} for i, (question, answer) in enumerate(questions)]
    return json.dumps({"id": "orrin", "title": "Orrin", "document": text, "questions": asked}) + "\n"


def test_the_place_of_the_right_chunk(
    llama: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (
        ("How many litres of oil did the lamp burn?", "60"),
        ("Of which lamp and oil is nothing said but the day?", "Tuesdays"),
        ("What?", "il"),
        ("Who is it?", "Maren"),
    )
    data = tmp_path / "kind.jsonl"
    data.write_text(document(*asked), encoding="utf-8")
    monkeypatch.setattr(search, "load_base", lambda config: llama)
    result = run(search, capsys, "--data", str(data), "--out", str(tmp_path / "out.json"), "--set", "stream.chunk_tokens=220")
    figures = result["kinds"]["kind"]
    assert (figures["n"], figures["documents"]) == (2, 1), "what is in both chunks, or in none, is not asked"
    assert (figures["first"], figures["first_two"]) == (50.0, 100.0)
    assert figures["interval"] == [50.0, 50.0]


def test_what_cannot_be_searched_is_told(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "kind.jsonl"
    data.write_text(document(("Who sailed?", "Aldo"), text=BOAT), encoding="utf-8")
    monkeypatch.setattr(search, "load_base", lambda config: llama)
    with pytest.raises(UsageError, match="no question is answered in one chunk of several; give longer documents than 256"):
        search.main(["--data", str(data)])
    with pytest.raises(UsageError, match="--documents, --chunks: got 0, 1000, expected 1 or more, and 2 or more"):
        search.main(["--data", str(data), "--documents", "0"])
