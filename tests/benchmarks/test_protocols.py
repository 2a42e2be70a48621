"""The benchmark of protocol variants, end to end on a tiny model: what differs, what is taken up again, what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks import protocols
from nrem.consolidation.train.trainer import TrainConfig
from nrem.memory.errors import UsageError
from tests.benches import flags, run, save_passages

SMALL = replace(protocols.BASELINE, rank=6, reader_rank=2, max_passes=2, chunks_per_step=4, questions_per_chunk=1, warm_up=1)


@pytest.fixture
def asked(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(protocols, "BASELINE", SMALL)
    passages = save_passages(tmp_path / "passages.jsonl")
    kept = ("--folder", str(tmp_path / "kept"), "--out", str(tmp_path / "raw.json"))
    return ["--data", str(passages), "--held-out", str(passages), "--passages", "2", "--minutes", "0.01", *kept, *flags(model_folder)]


def test_variants_are_trained_once_and_compared(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(protocols, capsys, *asked, "--variants", "ridge,delta")
    assert list(result["variants"]) == ["ridge", "delta"]
    for row in result["variants"].values():
        assert row["passages"] > 0
        assert set(row["right"]) == {"1", "2"}
        assert row["own"] == pytest.approx(row["wrong"]["2"] - row["right"]["2"])
        way = row["floor"] - row["context"]
        assert row["recovery"] == (pytest.approx((row["floor"] - row["right"]["2"]) / way) if way > 0 else None)
    card = json.loads((tmp_path / "kept" / "delta" / "protocol.json").read_text(encoding="utf-8"))
    assert card["rule"] == "delta"
    before = (tmp_path / "kept" / "ridge.json").stat().st_mtime_ns
    again = run(protocols, capsys, *asked, "--variants", "delta,ridge")
    assert again["variants"] == result["variants"]
    assert (tmp_path / "kept" / "ridge.json").stat().st_mtime_ns == before


def test_what_is_compared() -> None:
    figures = {"floor": 4.0, "right": {"1": 3.5, "2": 3.0}, "wrong": {"1": 3.5, "2": 3.75}, "context": 2.0}
    assert protocols.compared(figures) == {"own": 0.75, "recovery": 0.5}
    assert protocols.compared(figures | {"context": 4.5}) == {"own": 0.75, "recovery": None}  # the prompt does not help: no way to go


def test_every_variant_is_a_config_of_its_own() -> None:
    known = {field.name for field in fields(TrainConfig)}
    configs = []
    for changed in protocols.VARIANTS.values():
        assert set(changed) <= known
        configs.append(replace(protocols.BASELINE, **changed))
    assert all(configs.count(config) == 1 for config in configs)


def test_an_unknown_variant_is_refused(asked: list[str]) -> None:
    with pytest.raises(UsageError, match="--variants: no variant 'rige'; there are ridge, keyed, "):
        protocols.main([*asked, "--variants", "ridge,rige"])
