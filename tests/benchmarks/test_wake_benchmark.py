"""The benchmark of ways of answering, end to end on a tiny model: every arm is what `Wake` says, and nothing is slept on twice."""

import json
from pathlib import Path

import pytest

from benchmarks import wake
from nrem.memory.errors import UsageError
from nrem.runtime.measure.questions import read_documents
from nrem.runtime.models.load import load
from nrem.runtime.session.session import Session
from nrem.runtime.wake.features import FEATURES
from tests import tiny
from tests.benches import flags, run

SETTINGS = ("protocol.name=untrained", "guard.enabled=false", "sleep.passes=1")


def test_every_arm_has_scores_and_prices(
    rooms: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw.json"
    arms = "floor,direct,read,search,search:2,think:4,vote:2,context"
    options = ("--data", str(rooms), "--documents", "3", "--out", str(raw), *flags(model_folder, *SETTINGS))
    result = run(wake, capsys, *options, "--arms", arms)
    assert list(result["arms"]) == arms.split(",")
    assert {arm["n"] for arm in result["arms"].values()} == {3}
    assert result["arms"]["direct"]["fet"] < result["arms"]["search"]["fet"] < result["arms"]["think:4"]["fet"]
    assert result["fet"]["search"]["document"] > 0 == result["fet"]["read"]["document"]
    assert result["minus_search"]["f1"]["search"] == {"mean": 0.0, "interval": [0.0, 0.0]}
    assert result["minus_read"]["f1"]["search"]["mean"] == pytest.approx(-result["minus_search"]["f1"]["read"]["mean"])
    low, high = result["minus_search"]["nll"]["direct"]["interval"]
    assert low <= result["minus_search"]["nll"]["direct"]["mean"] <= high
    assert list(result["kinds"]) == ["rooms"]
    rows = json.loads(raw.read_text(encoding="utf-8"))["outcomes"]
    assert len(rows) == 8 * 3
    assert {row["way"] for row in rows if row["arm"] == "vote:2"} == {"vote:2"}
    assert {row["votes"] for row in rows if row["arm"] == "vote:2"} == {2}
    assert {row["arm"] for row in rows if "features" in row} == {"direct"}
    assert {len(row["features"]) for row in rows if row["arm"] == "direct"} == {len(FEATURES)}
    monkeypatch.setattr(Session, "stream", lambda *given: pytest.fail("it was slept on before"))
    asked = run(wake, capsys, *options, "--arms", "direct,vote:1")
    assert asked["arms"]["direct"] == result["arms"]["direct"], "seconds included: it was not asked again"
    assert result["intervals"]["direct"]["nll"][0] <= result["arms"]["direct"]["nll"] <= result["intervals"]["direct"]["nll"][1]
    alone = run(wake, capsys, *options, "--arms", "direct,search", "--documents", "1")
    assert alone["intervals"]["direct"]["nll"] is None, "one document, no interval"
    assert alone["minus_search"]["nll"]["direct"]["interval"] is None
    monkeypatch.setattr(wake, "outcomes", lambda *given: pytest.fail("it was asked before"))
    assert run(wake, capsys, *options, "--arms", "vote:1")["arms"]["vote:1"] == asked["arms"]["vote:1"]


def test_only_what_the_beginning_answers_is_asked(rooms: Path, model_folder: Path) -> None:
    base, config = load(str(model_folder), dtype="fp32"), tiny.make_config("stream.chunk_tokens=40")
    document = read_documents(rooms)[1]
    assert wake.beginning(base, document, config, 99, 10) == document
    cut = wake.beginning(base, document, config, 1, 10)
    assert cut is not None
    assert document.text.startswith(cut.text)
    assert len(cut.text) < len(document.text)
    (question,) = document.questions
    assert question.answers[0] in cut.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arms", "best"), "way: got 'best', expected auto, router or one of direct"),
        (("--arms", "vote:99"), "way vote:99: got 99 votes at most"),
        (("--arms", ","), "--arms: got none"),
        (("--chunks", "0"), "--documents, --chunks and --questions: got 2, 0, 10, expected 1 or more"),
    ],
)
def test_wrong_flags_are_refused(rooms: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        wake.main(["--data", str(rooms), *arguments])
