"""The demo, the doctor and the smoke training: everything that a stranger runs first, on a tiny model."""

import json
import re

import pytest

from nrem.runtime.measure.demo import demo_document, demo_questions
from nrem.runtime.measure.evaluate import ARMS
from tests.cli import Shell

DEMO = ("demo", "--config", "tiny.toml", "--set", "stream.window_tokens=1024", "--set", "stream.buffer_tokens=4096", "--passes", "1")


def test_the_answers_to_the_demo_questions_stand_in_the_document() -> None:
    text, questions = demo_document().read_text(encoding="utf-8"), demo_questions()
    assert 1500 <= len(text.split()) <= 3000
    assert len(questions) == 30
    assert len({q.question for q in questions}) == 30
    assert all(any(answer in text for answer in q.answers) for q in questions)
    assert sum(q.labels["facts"] == 2 for q in questions) >= 5


def test_the_demo_shows_all_of_it(shell: Shell) -> None:
    done = shell(*DEMO)
    assert done.code == 0, done.err
    for part in (
        "The document",
        "Evicted",
        "Sleeps",
        "Answers",
        "Scores",
        "Adapter",
        "The cost of a question",
        "no document",
        "wrong memory",
    ):
        assert part in done.out
    assert "memories/demo" in done.out
    shown = [q.question for q in demo_questions() if q.question in done.out]
    assert len(shown) == 5

    (shell.folder / "memories" / "other").mkdir()
    again = shell(*DEMO, "--json", "--quiet")
    found = json.loads(again.out)
    assert found["arms"].keys() == set(ARMS)
    assert found["cost"]["memory"]["document_tokens"] == 0
    assert found["cost"]["context"]["document_tokens"] > 1000
    assert found["cost"]["context"]["fet"] > found["cost"]["memory"]["fet"]
    assert found["adapter_bytes"] > 0
    assert again.err == ""


def test_the_demo_replaces_nothing_but_itself(shell: Shell) -> None:
    assert shell("sleep", "story.md", "--config", "tiny.toml", "-o", "memories/demo").code == 0
    done = shell(*DEMO)
    assert done.code == 2
    assert "memories/demo: a memory is already there" in done.err


def test_the_doctor_tries_everything(shell: Shell) -> None:
    found = json.loads(shell("doctor", "--json").out)
    checks = {c["name"]: c for c in found["checks"]}
    assert {
        "python",
        "torch",
        "transformers",
        "peft",
        "processor",
        "float types",
        "GPU",
        "bitsandbytes",
        "default model",
        "tiny night",
    } <= checks.keys()
    assert found["ok"]
    assert checks["tiny night"]["ok"]
    assert "not fetched yet" in checks["default model"]["found"]
    assert re.search(r"float32 [\d.]+, bfloat16 [\d.]+, float16 [\d.]+ GFLOP/s.*; dtype auto is", checks["float types"]["found"])
    assert "tiny night" in shell("doctor").out


def test_the_doctor_says_what_is_broken(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    import nrem.runtime.checks.doctor as doctor

    monkeypatch.setattr(doctor, "TEXT", " ")
    done = shell("doctor")
    assert done.code == 1
    assert "nrem: doctor: tiny night: DocumentError: text: the document is empty" in done.err
    assert "failed" in done.out


def test_the_smoke_training_makes_a_protocol(shell: Shell) -> None:
    done = shell("train-protocol", "--smoke", "--out", "protocol", "--json")
    found = json.loads(done.out)
    assert found["steps"] > 0
    assert found["right"].keys() == {"1", "2"}
    assert (shell.folder / "protocol" / "protocol.json").exists()
    assert "answer NLL" in done.err or "held out" in done.err
    again = shell("train-protocol", "--smoke", "--out", "protocol")
    assert again.code == 2
    assert "go on with --resume" in again.err
