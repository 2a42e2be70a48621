"""The benchmark of sleeping again, end to end on a tiny model, and the reliability of planted confidences."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import sleep_again
from benchmarks.harness.reliability import from_others, reliability
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import UsageError
from nrem.runtime.models.load import load
from tests import tiny
from tests.benches import flags, run


def test_both_ways_are_scored_and_priced(
    rooms: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base, raw = load(str(model_folder), dtype="fp32"), tmp_path / "raw.json"
    protocol = save_protocol(tmp_path / "tiny", tiny.make_keyed_protocol(base), base.identity, {})
    options = ("--data", str(rooms), "--out", str(raw), *flags(model_folder, f"protocol.name={protocol}", "guard.enabled=false"))
    result = run(sleep_again, capsys, *options, "--passes", "1", "--sure", "1.1")
    at_once, again = result["arms"]["at_once"], result["arms"]["again"]
    assert at_once["n"] == again["n"] == 6
    assert result["slept_again"] == 1
    assert again["fet"] > 2 * at_once["fet"]  # two answers and a pass
    gap = result["again_minus_at_once"]["f1"]
    assert gap["mean"] == pytest.approx(again["f1"] - at_once["f1"])
    assert gap["low"] <= gap["mean"] <= gap["high"]
    assert set(result["reliability"]) == {"token_confidence", "confidence", "confidence_again"}  # six are too few to calibrate on
    assert sum(b["n"] for b in result["reliability"]["confidence"]["bins"]) == 6
    assert result["calibration"] is None
    rows = json.loads(raw.read_text(encoding="utf-8"))["outcomes"]
    assert [row["again"]["passes"] for row in rows] == [1] * 6
    never = run(sleep_again, capsys, *options, "--limit", "2", "--sure", "0")
    assert (never["slept_again"], never["changed"]) == (0, 0)
    assert never["arms"]["again"]["fet"] == never["arms"]["at_once"]["fet"]
    with pytest.raises(UsageError, match="--limit and --passes: got 0 and 0"):
        sleep_again.main(["--data", str(rooms), "--passes", "0"])


def test_reliability_of_planted_confidence() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=4000)
    right = (rng.uniform(size=4000) < p).tolist()
    honest, boasting = reliability(p.tolist(), right), reliability(np.sqrt(p).tolist(), right)
    assert honest["brier"] == pytest.approx(1 / 6, abs=0.01)  # the mean of p (1 - p)
    assert boasting["brier"] > honest["brier"]
    for row in honest["bins"]:
        assert row["right"] == pytest.approx(row["confidence"], abs=0.05)
    empty = reliability([0.1, 1.0], [False, True])["bins"]
    assert [row["n"] for row in empty] == [1, 0, 0, 0, 1]
    assert empty[2]["right"] is None


def test_calibrating_on_others_never_sees_the_own_document() -> None:
    groups = [f"d{n % 3}" for n in range(90)]
    p = [0.05 + 0.01 * n for n in range(90)]
    right = [n % 4 == 0 for n in range(90)]
    found = from_others(p, right, groups)
    assert found is not None
    turned = from_others(p, [ok != (group == "d0") for ok, group in zip(right, groups, strict=True)], groups)
    assert turned is not None
    for before, after, group in zip(found, turned, groups, strict=True):
        assert (before == after) == (group == "d0")
    assert from_others(p[:20], right[:20], groups[:20]) is None
