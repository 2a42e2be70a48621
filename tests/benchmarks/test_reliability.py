"""The counts of `benchmarks/reliability` are of what they say: nothing damaged or hostile is believed, and both notice when it is."""

import json
from pathlib import Path

import pytest

from benchmarks.reliability import flips, hostile
from benchmarks.reliability.hostile_cases import cases


@pytest.mark.slow
def test_no_flip_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NREM_CACHE", str(tmp_path / "cache"))
    flips.main(["--skip-tests", "--flips", "2", "--cuts", "1", "--out", str(tmp_path / "flips.json")])
    found = json.loads((tmp_path / "flips.json").read_text(encoding="utf-8"))
    assert found["total"]["silent"] == found["total"]["traceback"] == 0
    assert found["total"]["refused"] > 30
    assert {"memory/memory.json", "memory/text/index.safetensors", "journal/resume.safetensors"} <= found["files"].keys()


def test_a_flip_that_is_believed_is_noticed(tmp_path: Path) -> None:
    answers = iter([b"so", b"otherwise"])
    assert flips._outcome(tmp_path, lambda folder: [next(answers)], [b"so"]) == "same"
    assert flips._outcome(tmp_path, lambda folder: [next(answers)], [b"so"]) == "silent"
    assert flips._outcome(tmp_path, lambda folder: [next(answers)], [b"so"]) == "traceback"


@pytest.mark.slow
def test_hostile_memories_are_refused_or_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NREM_CACHE", str(tmp_path / "cache"))
    hostile.main(["--skip-tests", "--limit", "4", "--out", str(tmp_path / "hostile.json")])
    found = json.loads((tmp_path / "hostile.json").read_text(encoding="utf-8"))
    assert found["bad"] == []
    assert found["commands"]["ask"]["refused"] == 4


def test_there_are_enough_cases() -> None:
    assert len(cases()) >= 100
