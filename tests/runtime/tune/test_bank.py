"""The bank: measured once, kept as it comes, whole after a kill."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.rows import Asked, Slept
from nrem.runtime.tune.setting import Setting, settings_of, way_strings

FLOOR, SEARCH = Setting(passes=0), Setting(passes=2, way="search")


class Killed(Exception):
    """Stands for a kill."""


class Meter:
    """Measures, and counts how often."""

    def __init__(self, dies_at: int = -1) -> None:
        self.measured: list[tuple[Setting, int]] = []
        self.dies_at = dies_at

    def __call__(self, setting: Setting, numbers: Sequence[int]) -> Iterator[tuple[int, Asked]]:
        for number in numbers:
            if len(self.measured) == self.dies_at:
                raise Killed
            self.measured.append((setting, number))
            f1 = (number + (setting.passes or 0)) / 10
            yield number, Asked(id=f"q{number}", answer="é\n", nll=1.5, f1=f1, em=0.0, fet=30.0, seconds=0.1)


def make_bank(folder: Path, meter: Meter) -> Bank:
    bank = Bank(folder / "bank.jsonl", meter)
    bank.begin({"passes": [0, 2]})
    return bank


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    meter = Meter()
    bank = make_bank(tmp_path, meter)
    assert bank.ask(SEARCH, [3, 1]) == 60
    assert bank.ask(SEARCH, [1, 2, 3]) == 30
    assert meter.measured == [(SEARCH, 3), (SEARCH, 1), (SEARCH, 2)]
    again = make_bank(tmp_path, Meter(dies_at=0))
    assert again.ask(SEARCH, [1, 2, 3]) == 0
    row = again.row(SEARCH)
    assert row == bank.row(SEARCH)
    assert row is not None
    assert row.numbers == (1, 2, 3)
    assert row.values("f1") == pytest.approx([0.3, 0.4, 0.5])
    assert again.samples(SEARCH, 2) == [(40.0, 30.0)]
    assert again.samples(SEARCH, 0) == []
    assert again.row(FLOOR) is None


@pytest.mark.parametrize("torn", [b"", b'{"setting": {"passes": 0, "w', b"\xff"])
def test_a_kill_loses_no_answer_that_was_there(tmp_path: Path, torn: bytes) -> None:
    bank = make_bank(tmp_path, Meter(dies_at=3))
    with pytest.raises(Killed):
        bank.ask(FLOOR, range(10))
    with (tmp_path / "bank.jsonl").open("ab") as file:
        file.write(torn)
    meter = Meter()
    again = make_bank(tmp_path, meter)
    again.note_sleep(2, Slept(fet={"passes": 7.0}, seconds={"passes": 0.5}, rolled_back=1))
    assert again.ask(FLOOR, range(10)) == 7 * 30
    assert [number for _, number in meter.measured] == list(range(3, 10))
    last = make_bank(tmp_path, Meter(dies_at=0))
    assert last.has(FLOOR, 10)
    assert last.slept[2].fet == {"passes": 7.0}
    last.begin({"base model": "m"})
    assert Bank(tmp_path / "bank.jsonl").about == {"passes": [0, 2], "base model": "m"}
    assert Bank(tmp_path / "bank.jsonl").has(FLOOR, 10)


def test_a_search_that_is_made_again_sees_and_pays_the_same(tmp_path: Path) -> None:
    meter = Meter()
    bank = make_bank(tmp_path, meter)
    bank.fill(FLOOR, range(4))
    spent = []
    for _ in range(2):
        view = bank.view([FLOOR])
        assert view.samples(SEARCH, 0) == []
        assert view.samples(FLOOR, 3) == bank.samples(FLOOR, 3)
        assert view.ask(SEARCH, [0, 1]) + view.ask(SEARCH, [1, 2]) + view.ask(FLOOR, [0, 1]) == view.fet
        assert view.samples(SEARCH, 2) == bank.samples(SEARCH, 2)
        spent.append(view.fet)
    assert spent == [90, 90]
    assert len(meter.measured) == 4 + 3


def test_a_row_has_the_price_of_its_sleep(tmp_path: Path) -> None:
    bank = make_bank(tmp_path, Meter())
    bank.note_sleep(2, Slept(fet={"passes": 7.0, "probes": 3.0}, seconds={"passes": 0.5}, rolled_back=1))
    for setting in (FLOOR, SEARCH):
        bank.fill(setting, [0, 1])
    floor, search = bank.row(FLOOR), bank.row(SEARCH)
    assert floor is not None
    assert search is not None
    assert (floor.sleep_fet, search.sleep_fet, search.estimation_fet, search.rolled_back) == (0, 10, 3, 1)
    gain = search.difference(floor, factor=100)
    assert gain is not None
    assert gain.mean == pytest.approx(20)
    assert search.difference(floor, "nll") is not None


def test_a_bank_of_something_else_is_refused(tmp_path: Path) -> None:
    make_bank(tmp_path, Meter())
    with pytest.raises(UsageError, match="the run there has other passes; give the same ones to go on, or start again with --force"):
        Bank(tmp_path / "bank.jsonl").begin({"passes": [0, 4]})
    with pytest.raises(UsageError, match="2 passes, search: question 1 is not in the bank; measure it with nrem tune"):
        Bank(tmp_path / "bank.jsonl").ask(SEARCH, [0])
    for text in ("{\n", "[]\n", '{"about": {}}\n', '{"about": {"a": 1}}\n{"setting": 3}\n'):
        (tmp_path / "bank.jsonl").write_text(text, encoding="utf-8")
        with pytest.raises(MemoryFolderError, match=r"bank\.jsonl: not the outcomes of a tuning run"):
            Bank(tmp_path / "bank.jsonl")


def test_settings_are_every_combination_once() -> None:
    found = settings_of([0, 2], ["search", "direct", "read"], ["In short: {question}"])
    names = [setting.name for setting in found]
    assert len(names) == len(set(names)) == 2 * 2 * 2 + 1
    assert names[-1] == "document in the prompt"
    assert [setting.passes for setting in found] == [0] * 4 + [2] * 4 + [None]
    assert not any("read" in name for name in names)  # search after 0 passes is the same
    assert [s.name for s in settings_of([0, 2], ["direct", "read"], [])] == [
        "0 passes",
        "0 passes, read",
        "2 passes",
        "document in the prompt",
    ]


def test_amounts_become_ways() -> None:
    assert way_strings(["read"], search=[0, 1, 2], votes=[1, 3, 5], think=[0, 32]) == (
        ["read", "direct", "search", "search:2", "vote:3", "vote:5", "think:32"]
    )
