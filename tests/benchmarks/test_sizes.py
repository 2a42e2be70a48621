"""The benchmark of sizes, at a size of seconds."""

import json
from pathlib import Path

import pytest

from benchmarks import sizes
from nrem.memory.errors import UsageError
from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.measure import Outcomes

TINY = "values=3 moves=1 slots=3 warm_up_steps=5 warm_up_batch=8 steps=2 questions=4 group=4 measured=4".split()
FLAGS = ("--skip-tests", "--json", *(part for setting in TINY for part in ("--set", setting)))


def test_it_ends_with_one_json_line_and_keeps_every_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes.main([*FLAGS, "--seeds", "2", "--out", str(tmp_path / "raw.json")])
    found = json.loads(capsys.readouterr().out)
    assert set(found["arms"]) == {f"{size} {arm}" for size in sizes.SIZES for arm in sizes.ARMS}
    assert [row["hops"] for row in found["by_hops"]] == [1, 2, 3]
    assert found["weights"]["large"] > 4 * found["weights"]["small"]
    raw = json.loads((tmp_path / "raw.json").read_text(encoding="utf-8"))
    assert [len(of_size["short_right"]) for of_size in raw["outcomes"].values()] == [24, 24]
    with pytest.raises(UsageError, match="--seeds: got 0, expected 1 or more"):
        sizes.main([*FLAGS, "--seeds", "0"])


def test_an_answer_costs_more_by_thinking_and_with_more_weights() -> None:
    (at_once, thinks), weights = sizes.mflop_of(RouterConfig(hidden=32), 1)
    assert 2 * weights * 10 < 1e6 * at_once < 1e6 * thinks < 2 * weights * 25
    assert sizes.mflop_of(RouterConfig(hidden=64), 1)[0][0] > 2 * at_once


def test_a_bin_counts_where_the_larger_one_was_better_and_thinking_makes_up_for_it() -> None:
    def size(short: list[bool], think: list[bool]) -> sizes.Size:
        hops = [1] * 40 + [2] * 40
        return sizes.Size(Outcomes(0.5, hops, [0.9] * 40 + [0.1] * 40, short, think), (1.0, 3.0), 1)

    half = [n % 2 == 0 for n in range(40)]
    small, large = size(half * 2, [True] * 40 + half), size([True] * 80, [True] * 80)
    first, second = sizes.by_hops(small, large)
    assert (first["to_trade"], first["stands_in"]) == (True, True)
    assert (second["to_trade"], second["stands_in"]) == (True, False)
    right, mflop = small.arm("decides")
    assert (sum(right), mflop) == (60, 2.0)
    assert sum(small.arm("best by hops")[0]) == 60
