"""Confidence and the default router, over planted records of `benchmarks.wake`: arithmetic, and what is no record is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import confidence, default_router, paired
from nrem.memory.errors import MissingFileError, UsageError
from nrem.runtime.wake.features import FEATURES
from nrem.runtime.wake.router import Router
from tests.benches import run

WAYS = ("direct", "read", "search")
FET = {"direct": 20.0, "read": 150.0, "search": 160.0}


def record(path: Path, seed: int, *, documents: int = 10, told: bool = True) -> Path:
    """Decoding is sure of everything; the way is right as often as its scaled probability says. `read` is right where direct is not, which
    the first feature tells where `told`."""
    rng, rows = np.random.default_rng(seed), dict[str, list[dict[str, Any]]]((way, []) for way in WAYS)
    for n in range(documents * 8):
        sign = rng.normal()
        features = [sign if told else rng.normal(), *[0.0] * (len(FEATURES) - 1)]
        for way in WAYS:
            p = float(rng.uniform(0.5, 0.99))
            right = sign > 0 if way == "direct" else sign < 0 if way == "read" else rng.random() < p**8
            row = {"kind": path.stem, "arm": way, "document": f"d{n // 8}", "question": f"q{n}", "em": float(right), "fet": FET[way]}
            rows[way].append(row | {"confidence": p, "token_confidence": p} | ({"features": features} if way == "direct" else {}))
    path.write_text(json.dumps({"outcomes": [row for some in rows.values() for row in some]}), encoding="utf-8")
    return path


def test_what_is_too_sure_is_scaled_by_other_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged, other, out = record(tmp_path / "judged.json", 0), record(tmp_path / "other.json", 1), ("--out", str(tmp_path / "out.json"))
    result = run(confidence, capsys, str(judged), "--fit", str(other), *out)
    found = result["ways"]["search"]
    assert list(found) == ["as answered", "decoding", "constant", "scaled"]
    assert sum(b["n"] for b in found["scaled"]["bins"]) == 80
    assert found["decoding"]["minus_constant"]["interval"][0] > 0 > found["scaled"]["minus_constant"]["mean"]
    fit = result["fits"]["search"]
    assert found["constant"]["mean"] == pytest.approx(fit["base_rate"])
    rows = [row for row in json.loads(judged.read_text(encoding="utf-8"))["outcomes"] if row["arm"] == "search"]
    scaled = [1 / (1 + math.exp(-fit["intercept"] - fit["slope"] * math.log(row["confidence"] / (1 - row["confidence"])))) for row in rows]
    brier = sum((p - row["em"]) ** 2 for p, row in zip(scaled, rows, strict=True)) / len(rows)
    assert found["scaled"]["brier"] == pytest.approx(brier)
    assert run(confidence, capsys, str(judged), str(other), *out)["ways"]["direct"]["scaled"], "by the other file"
    assert list(run(confidence, capsys, str(judged), *out)["ways"]["read"]) == ["as answered", "decoding"], "there is no other file"


def test_a_router_that_other_texts_have_taught(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged, other, out = record(tmp_path / "judged.json", 0), record(tmp_path / "other.json", 1), ("--out", str(tmp_path / "out.json"))
    file = tmp_path / "router.json"
    result = run(default_router, capsys, str(judged), "--fit", str(other), "--router", str(file), *out)
    free = result["all"]["router"][0]
    assert free["gain"]["low"] > 10, "it buys read where direct is wrong"
    assert free["points"] > 90
    assert list(result["kinds"]) == ["judged"]
    assert Router.from_json(file.read_text(encoding="utf-8"), "here").questions == result["fitted"]["questions"] == 80
    blind = record(tmp_path / "blind.json", 2, told=False)
    row = run(default_router, capsys, str(judged), "--fit", str(blind), *out)["all"]["router"][0]
    assert row["gain"]["low"] <= 0, "features that said nothing where it was fitted"


def test_what_is_no_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judged, nothing = record(tmp_path / "judged.json", 0), tmp_path / "nothing.json"
    for module in (confidence, default_router):
        with pytest.raises(MissingFileError, match=r"absent.json: no such file; measure one with python -m benchmarks.wake"):
            run(module, capsys, str(judged), "--fit", str(tmp_path / "absent.json"))
        for text in ("[]", "no", '{"outcomes": [{"arm": "direct"}]}'):
            nothing.write_text(text, encoding="utf-8")
            with pytest.raises(UsageError, match=r"nothing.json: got .* expected a record of python -m benchmarks.wake"):
                run(module, capsys, str(judged), "--fit", str(nothing))
        with pytest.raises(UsageError, match=r"is also judged; .* judged on texts that it was not fitted to"):
            run(module, capsys, str(judged), "--fit", str(judged))
    with pytest.raises(UsageError, match=r"--ways: got 'read', expected direct among them"):
        run(default_router, capsys, str(judged), "--fit", str(nothing), "--ways", "read")
    with pytest.raises(UsageError, match=r"judged.json: no question was asked in all of direct, vote; measure it again"):
        run(default_router, capsys, str(judged), "--fit", str(nothing), "--ways", "direct,vote")


def test_two_records_are_compared_question_by_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows(better: float, count: int) -> dict[str, Any]:
        return {
            "outcomes": [
                {"kind": "k", "arm": arm, "document": f"d{n // 4}", "question": f"q{n}", "f1": 0.5 + gain, "em": 0.0, "nll": 2.0 - 2 * gain}
                for arm, gain in (("direct", better), ("read", 0.0))
                for n in range(count)
            ]
        }

    new, old = tmp_path / "new.json", tmp_path / "old.json"
    new.write_text(json.dumps(rows(0.25, 12)), encoding="utf-8")
    old.write_text(json.dumps(rows(0.0, 20)), encoding="utf-8")
    result = run(paired, capsys, str(new), str(old), "--out", str(tmp_path / "out.json"))
    direct = result["arms"]["direct"]
    assert (direct["n"], direct["documents"]) == (12, 3), "only what both have asked"
    assert direct["f1"] == {"new": 75.0, "old": 50.0, "mean": 25.0, "interval": [25.0, 25.0]}
    assert direct["nll"]["mean"] == -0.5
    assert result["arms"]["read"]["f1"]["mean"] == 0.0
    new.write_text(json.dumps({"outcomes": [row | {"kind": "other"} for row in rows(0.0, 4)["outcomes"]]}), encoding="utf-8")
    with pytest.raises(UsageError, match="no question"):
        paired.main([str(new), str(old)])
    with pytest.raises(MissingFileError):
        paired.main([str(new), str(tmp_path / "nothing.json")])
