"""The benchmark of abstention: end to end on a tiny model, and its arithmetic on planted answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import abstention
from benchmarks.abstention import Told, best_threshold, by_others, report, separation
from nrem.memory.errors import UsageError
from nrem.runtime.measure.evaluate import Outcome
from nrem.runtime.measure.questions import Question
from nrem.runtime.measure.scores import score
from nrem.runtime.wake.answer import Answer
from tests.benches import flags, run

PLAIN = Answer(question="q", answer="a", prompt_tokens=9, document_tokens=0, answer_tokens=1, fet=1.0, seconds=0.5)


def told(document: str, *, own: bool, not_stated: float, stated: bool = True, right: bool = True) -> Told:
    answer = replace(PLAIN, answer="a" if right else "b", not_stated=not_stated, stated=stated, confidence=0.5, token_confidence=0.5)
    question = Question(id="q", question="q", answers=("a",))
    return Told(document, own, Outcome(question, answer, 1.0, score("q", answer.answer, ["a"])))


def test_abstention_is_scored_and_confidence_is_measured(
    rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw.json"
    settings = ("protocol.name=untrained", "guard.enabled=false", "sleep.passes=1")
    options = ("--data", str(rooms), "--documents", "4", "--out", str(raw), *flags(model_folder, *settings))
    result = run(abstention, capsys, *options)
    assert result["questions"] == {"own": 4, "other": 4}
    assert result["said"] == {"abstained": 0, "precision": None, "recall": 0.0, "right_answers_lost": None}
    assert set(result["signs"]) == {"not_stated", "unsure", "both"}
    assert 0 <= result["signs"]["not_stated"]["auc"] <= 1
    assert sum(b["n"] for b in result["reliability"]["confidence"]["bins"]) == 4
    rows = json.loads(raw.read_text(encoding="utf-8"))["outcomes"]
    assert [row["own"] for row in rows] == [True, False] * 4
    always = run(abstention, capsys, *options, "--set", "answer.not_stated=1e-9")["said"]
    assert (always["abstained"], always["precision"], always["recall"]) == (8, 0.5, 1.0)
    with pytest.raises(UsageError, match="there is no other document to ask about"):
        run(abstention, capsys, "--data", str(rooms), "--documents", "1", *flags(model_folder, *settings))


def test_a_threshold_comes_from_the_other_documents() -> None:
    planted = [told(d, own=own, not_stated=0.1 if own else 0.9) for d in ("d1", "d2", "d3") for own in (True, False)]
    abstains, thresholds = by_others(planted, "not_stated")
    assert abstains == [False, True] * 3
    assert thresholds == [0.9] * 3
    assert separation(planted, "not_stated") == 1
    assert separation(planted, "unsure") == 0.5
    figures = report(planted)["signs"]["not_stated"]
    assert (figures["precision"], figures["recall"], figures["right_answers_lost"]) == (1, 1, 0)
    odd = [*planted, told("d4", own=True, not_stated=0.95), told("d4", own=False, not_stated=0.05)]
    assert by_others(odd, "not_stated")[0][-2:] == [True, False], "its own answers have no say in its threshold"


def test_what_is_said_counts_as_abstaining() -> None:
    rows = [
        told("d1", own=True, not_stated=0.0, stated=False),
        told("d1", own=True, not_stated=0.0, right=False),
        told("d2", own=False, not_stated=0.0, stated=False),
        told("d2", own=False, not_stated=0.0),
    ]
    assert report(rows)["said"] == {"abstained": 2, "precision": 0.5, "recall": 0.5, "right_answers_lost": 1.0}


def test_the_best_threshold() -> None:
    assert best_threshold([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 0.8
    assert best_threshold([0.5], [False]) == float("inf")
