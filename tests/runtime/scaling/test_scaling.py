"""The trade between axes: planted slopes are found, break-even numbers are those of plain arithmetic, and runs are compared or refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.scaling.exchange import break_even, frontier, matches, questions_to_win, thirds
from nrem.runtime.scaling.fit import fit_trade
from nrem.runtime.scaling.points import Point, Run, read_run, read_runs
from nrem.runtime.scaling.report import Report, draw_report, print_report
from nrem.runtime.show.memory import console
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.measure import BANK
from nrem.runtime.tune.rows import Asked, Slept
from nrem.runtime.tune.setting import Setting
from nrem.runtime.tune.tune import tune
from tests import tiny


def make_point(
    passes: int | None, way: str = "direct", *, sleep: float = 0, question: float = 1, right: str = "10", model: str = "s"
) -> Point:
    marks = tuple(float(mark) for mark in right)
    return Point(
        model=model, passes=passes, way=way, sleep_gflop=sleep, question_gflop=question, right=marks, nll=tuple(1 - m for m in marks)
    )


def planted(slopes: dict[str, float], product: float, count: int = 4000) -> tuple[list[Point], list[float]]:
    """Answers drawn from known odds."""
    rng = np.random.default_rng(0)
    hard = rng.normal(size=count)
    points = []
    for passes in (0, 1, 2, 4):
        for way, rounds, votes in (("direct", 0, 0), ("search", 1, 0), ("search:2", 2, 0), ("vote:3", 1, 3)):
            logs = {"passes": np.log1p(passes), "search": np.log1p(rounds), "vote": np.log1p(votes)}
            odds = -1 - 0.8 * hard + sum(slope * logs[axis] for axis, slope in slopes.items()) + product * logs["passes"] * logs["search"]
            right = tuple((rng.random(count) < 1 / (1 + np.exp(-odds))).astype(float).tolist())
            points.append(Point(model="s", passes=passes, way=way, sleep_gflop=passes, question_gflop=1, right=right, nll=right))
    return points, hard.tolist()


def test_planted_slopes_are_found_with_their_sign() -> None:
    points, hard = planted({"passes": 0.9, "search": 1.4, "vote": -0.3}, -0.5)
    found = {slope.name: slope for slope in fit_trade(points, hard)}
    truth = {"passes": 0.9, "rounds of search": 1.4, "further votes": -0.3, "passes x rounds": -0.5, "difficulty": -0.8}
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        assert found[name].value == pytest.approx(value, abs=0.12)
        assert found[name].low <= found[name].value <= found[name].high
        assert (found[name].low > 0) == (value > 0)
        assert (found[name].high < 0) == (value < 0)


def test_an_axis_that_was_not_tried_has_no_slope() -> None:
    points = [make_point(0, right="1000"), make_point(2, right="1110")]
    assert [slope.name for slope in fit_trade(points, [0.0, 1.0, 2.0, 3.0])] == ["passes", "difficulty"]


def test_a_sleep_is_cheaper_from_the_number_on_at_which_both_cost_the_same() -> None:
    sleep, document = make_point(2, sleep=120, question=3), make_point(None, question=15)
    number = questions_to_win(sleep, document)
    assert number == 10
    assert sleep.gflop(number) == document.gflop(number)
    assert questions_to_win(document, sleep) is None
    small = Run("s", 1.0, "q", (make_point(0, right="00"), make_point(0, "search", question=7, right="11"), sleep, document))
    large = Run("l", 2.0, "q", (make_point(0, right="10", model="l"), make_point(None, question=40, right="11", model="l")))
    found = {(even.sleep, even.other): even for even in break_even([small, large])}
    assert [even.questions for even in found.values()] == [10, 30, pytest.approx(120 / 37)]
    assert found["s: 2 passes", "s: 0 passes, search"].points.mean == -50


def test_the_cheapest_equal_is_found_third_by_third() -> None:
    floor = Point(model="s", passes=0, way="direct", sleep_gflop=0, question_gflop=1, right=(1, 0, 0), nll=(0.1, 0.5, 2.0))
    small = Run(
        "s", 1, "q", (floor, make_point(1, sleep=20, question=1, right="110"), make_point(1, "search", sleep=20, question=5, right="110"))
    )
    large = Run("l", 3, "q", (make_point(0, question=9, right="110", model="l"), make_point(None, question=30, right="111", model="l")))
    assert thirds(floor.nll) == [[0], [1], [2]]
    easy, middling, *hard = matches(small, large, 10)
    assert (easy.small, easy.small_gflop, easy.large_gflop) == ("s: 0 passes", 1, 9)
    assert (middling.small, middling.small_gflop) == ("s: 1 pass", 3)
    assert [(m.large, m.small) for m in hard] == [("l: 0 passes", "s: 0 passes"), ("l: document in the prompt", "")]
    assert [p.name for p in frontier(small.points, 10)] == ["s: 0 passes", "s: 1 pass"]


def write_run(folder: Path, model: str, each: float | None, asked: str = "a") -> Path:
    folder.mkdir()
    bank = Bank(folder / BANK, lambda setting, numbers: [(n, row(n, setting)) for n in numbers])
    about = {"name": model} | ({"gflop_per_fet": each} if each else {})
    bank.begin({"documents": [{"name": "d", "sha256": "d"}], "questions": {"count": 6, "sha256": asked}, "base model": about})
    bank.note_sleep(2, Slept(fet={"passes": 300.0}, seconds={}))
    for setting in (Setting(passes=0), Setting(passes=2), Setting(passes=2, way="search"), Setting(passes=None)):
        bank.fill(setting, range(6))
    return folder


def row(number: int, setting: Setting) -> Asked:
    right = float(number < 2 + 2 * (setting.passes != 0))
    return Asked(
        id=str(number), answer="x", nll=number / 6, f1=right, em=right, right=right, fet=50 if setting.way == "search" else 10, seconds=1
    )


def test_runs_are_read_smallest_model_first_and_others_are_refused(tmp_path: Path) -> None:
    small, large = write_run(tmp_path / "s", "org/small", 0.5), write_run(tmp_path / "l", "large", 2.0)
    runs = read_runs([large, small])
    assert [(run.model, run.gflop_per_fet) for run in runs] == [("small", 0.5), ("large", 2.0)]
    slept = next(p for p in runs[1].points if p.passes == 2 and p.way == "search")
    assert (slept.sleep_gflop, slept.question_gflop, slept.points, slept.amount("search")) == (600, 100, pytest.approx(200 / 3), 1)
    with pytest.raises(UsageError, match="its questions or documents are not those of"):
        read_runs([small, write_run(tmp_path / "o", "other", 1.0, asked="b")])
    with pytest.raises(MemoryFolderError, match="does not say how large its model is"):
        read_run(write_run(tmp_path / "old", "old", None))
    with pytest.raises(MemoryFolderError, match="no tuning run"):
        read_run(tmp_path)


def test_the_report_says_all_of_it_in_text_json_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report.of(read_runs([write_run(tmp_path / "s", "small", 0.5), write_run(tmp_path / "l", "large", 2.0)]), 20)
    print_report(console(), report)
    said = capsys.readouterr().out
    for part in ("small: 2 passes, search", "rounds of search", "From how many questions", "cheapest equal of the smaller"):
        assert part in said
    values = json.loads(json.dumps(report.to_dict()))
    assert (len(values["points"]), len(values["matches"]) > 0, values["questions_a_document"]) == (8, True, 20)
    assert draw_report(report, tmp_path / "new" / "p.png") == ""
    assert (tmp_path / "new" / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_tune_can_be_read(llama: Base, tmp_path: Path) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "Who kept the Orrin lighthouse?", "answers": ["Maren Tull"]}\n', encoding="utf-8")
    config = tiny.make_config("guard.enabled=false")
    tune(Document.from_text(tiny.STORY), questions=questions, base=llama, config=config, passes=(0, 1), folder=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert {p.passes for p in run.points} == {0, 1, None}
    assert run.gflop_per_fet > 0
    assert all(p.sleep_gflop > 0 for p in run.points if p.passes)
