"""The benchmark of tuning: it counts what it says, and reads what `nrem tune` keeps."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.tuning import main, natural, planted
from nrem.memory.errors import UsageError
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.rows import Asked
from nrem.runtime.tune.setting import Setting, settings_of

WORDINGS = ("{question}", "In short: {question}", "{question} Say it.")


def make_bank(path: Path, wordings: Sequence[str] = WORDINGS) -> Path:
    """Every setting on 40 questions; the best is the third wording after 4 passes, which is bad after none."""

    def measure(setting: Setting, numbers: Sequence[int]) -> Iterator[tuple[int, Asked]]:
        place = wordings.index(setting.wording)
        level = [[10, 14], [16, 12], [4, 34]][place][setting.passes == 4]
        for n in numbers:
            right = float((7 * n + place) % 40 < level)
            yield n, Asked(id=str(n), answer="a", nll=1.0, f1=right, em=right, fet=50.0, seconds=0.1)

    bank = Bank(path, measure)
    bank.begin({"documents": [{"name": "d"}]})
    for setting in settings_of([0, 4], ["direct"], wordings):
        if setting.passes is not None:
            bank.fill(setting, range(40))
    return path


def test_a_natural_bank_is_searched_in_other_orders(tmp_path: Path) -> None:
    found = natural(make_bank(tmp_path / "bank.jsonl"), 8, 0.5)
    assert (found["settings"], found["questions"], found["best"]) == (6, 40, 85)
    assert found["searches"]["joint halving"]["found"] >= 0.75
    assert found["searches"]["joint halving"]["share_spent"] <= 0.5
    assert found["exact"] == {"wording first": 85, "strategy first": 85}
    with pytest.raises(UsageError, match="expected two wordings or more"):
        natural(make_bank(tmp_path / "one.jsonl", WORDINGS[:1]), 8, 0.5)


def test_a_planted_run_ends_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--planted", "--runs", "2", "--skip-tests", "--json", "--out", str(tmp_path / "raw.json")])
    result = json.loads(capsys.readouterr().out)
    assert [row["share"] for row in result["planted"]] == [0.25, 0.1]
    for row in result["planted"]:
        assert row["searches"]["joint halving"]["share_spent"] <= row["share"]
        assert row["searches"]["measuring everything"]["found"] == row["searches"]["measuring everything"]["within_a_point"] == 1
    assert json.loads((tmp_path / "raw.json").read_text(encoding="utf-8"))["runs"] == 2


def test_the_same_seeds_give_the_same() -> None:
    assert planted(1, (0.1,)) == planted(1, (0.1,))
