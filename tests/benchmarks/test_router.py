"""The benchmark of the learned router, at a size of seconds."""

import json
from pathlib import Path

import pytest

from benchmarks import router
from nrem.memory.errors import UsageError

TINY = "values=3 moves=1 slots=3 hidden=16 heads=2 warm_up_steps=5 warm_up_batch=8 steps=2 questions=4 group=4 measured=4".split()
FLAGS = ("--skip-tests", "--json", *(part for setting in TINY for part in ("--set", setting)))


def test_it_ends_with_one_json_line_and_keeps_every_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    router.main([*FLAGS, "--seeds", "2", "--price", "0.1,1", "--fixed", "1", "--grpo", "--out", str(tmp_path / "raw.json")])
    said = capsys.readouterr()
    found = json.loads(said.out)
    arms = [router.ALL, "price 100 % only", router.GRPO]
    assert list(found["mean"]) == arms
    assert [len(found["mean"][name]) for name in arms] == [2, 1, 2]
    assert [len(found["separation"][name]) for name in arms] == [2, 2, 2]
    raw = json.loads((tmp_path / "raw.json").read_text(encoding="utf-8"))
    assert [len(at["think_per_mille"].split()) for run in raw["runs"]["price 100 % only"] for at in run["outcomes"]] == [12, 12]
    assert "reward over mixture" in said.err


def test_separation_is_between_three_hops_and_more_and_one() -> None:
    assert router.separation({"by_hops": [{"think_rate": x} for x in (0.1, 0.5, 0.8, 1.0)]}) == pytest.approx(0.8)


def test_a_fixed_price_must_be_one_of_the_prices() -> None:
    with pytest.raises(UsageError, match=r"--fixed: got 0.2, expected some of --price 0.1,0.5"):
        router.main([*FLAGS, "--price", "0.1,0.5", "--fixed", "0.2"])
