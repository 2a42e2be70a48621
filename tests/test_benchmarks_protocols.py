"""The benchmark of protocol variants, end to end on a tiny model: what differs, what is taken up again, what is refused."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmarks import protocols
from nrem.consolidation.train_protocol import TrainConfig
from nrem.memory.errors import UsageError
from tests.test_benchmarks import flags, model, run  # noqa: F401 - fixtures
from tests.test_train_protocol import PASSAGES

SMALL = replace(protocols.BASELINE, rank=6, reader_rank=2, max_passes=2, chunks_per_step=4, questions_per_chunk=1, warm_up=1)


@pytest.fixture
def asked(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: F811
    monkeypatch.setattr(protocols, "BASELINE", SMALL)
    passages = tmp_path / "passages.jsonl"
    rows = [{"title": p.title, "context": p.text, "questions": [[q.question, q.answer] for q in p.given]} for p in PASSAGES]
    passages.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = ("--folder", str(tmp_path / "kept"), "--out", str(tmp_path / "raw.json"))
    return ["--data", str(passages), "--held-out", str(passages), "--passages", "2", "--minutes", "0.01", *kept, *flags(model)]


def test_variants_are_trained_once_and_compared(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(protocols, capsys, *asked, "--variants", "ridge,delta")
    assert list(result["variants"]) == ["ridge", "delta"]
    for row in result["variants"].values():
        assert row["passages"] > 0
        assert set(row["right"]) == {"1", "2"}
        way = row["floor"] - row["context"]
        assert row["recovery"] == pytest.approx((row["floor"] - row["right"]["2"]) / way)
    card = json.loads((tmp_path / "kept" / "delta" / "protocol.json").read_text())
    assert card["rule"] == "delta"
    before = (tmp_path / "kept" / "ridge.json").stat().st_mtime_ns
    again = run(protocols, capsys, *asked, "--variants", "delta,ridge")
    assert again["variants"] == result["variants"]
    assert (tmp_path / "kept" / "ridge.json").stat().st_mtime_ns == before


def test_every_variant_is_a_config_of_its_own() -> None:
    known = {field.name for field in fields(TrainConfig)}
    configs = []
    for changed in protocols.VARIANTS.values():
        assert set(changed) <= known
        configs.append(replace(protocols.BASELINE, **changed))
    assert all(configs.count(config) == 1 for config in configs)


def test_an_unknown_variant_is_refused(asked: list[str]) -> None:
    with pytest.raises(UsageError, match="--variants: no variant 'rige'; there are ridge, delta, "):
        protocols.main([*asked, "--variants", "ridge,rige"])
