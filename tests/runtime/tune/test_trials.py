"""Ranges are searched by trials: what is planted is found, a worse trial is given up, and nothing is asked twice after a kill."""

import random
from collections.abc import Iterator, Mapping, Sequence
from math import log10
from pathlib import Path

import pytest

from nrem.consolidation.budget import Budget
from nrem.memory.errors import ConfigError, UsageError
from nrem.runtime.config import load_config
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.tune.ranges import Range, with_values
from nrem.runtime.tune.recommend import Wish
from nrem.runtime.tune.trials import Searched, check_search, search_ranges
from nrem.runtime.tune.tune import tune
from tests import tiny
from tests.streams import Killed

RATE = Range(key="study.step_size", low=0.0001, high=1, configured=0.003, whole=False)
QUESTIONS = [f"Question {n}?" for n in range(60)]


class Planted:
    """Answers that are right the more often, the nearer a number is to 0.1 by its logarithm."""

    def __init__(self, dies_in: int = 0) -> None:
        self.asked: list[list[int]] = []
        self.dies_in = dies_in

    def answers(self, values: Mapping[str, float], numbers: Sequence[int]) -> Iterator[tuple[float, float]]:
        self.asked.append([])
        far = abs(log10(values["study.step_size"]) + 1) / 2
        for n in numbers:
            if len(self.asked) == self.dies_in and len(self.asked[-1]) == 5:
                raise Killed
            self.asked[-1].append(n)
            yield float(random.Random(n).random() > 0.2 + 0.7 * min(1.0, far)), 10.0

    def sleep_fet(self, values: Mapping[str, float]) -> float:
        return 1000 * values["study.step_size"]


def search(folder: Path, planted: Planted, count: int = 14, ranges: Sequence[Range] = (RATE,), wish: Wish | None = None) -> Searched:
    return search_ranges(ranges, count, QUESTIONS, planted.answers, planted.sleep_fet, wish or Wish(), folder, about={"setting": 1})


def test_what_is_planted_is_found_and_what_is_worse_is_given_up(tmp_path: Path) -> None:
    planted = Planted()
    found = search(tmp_path, planted)
    assert found.trials[0].values == {"study.step_size": 0.003}, "what is configured comes first"
    assert found.trials[0].whole
    assert abs(log10(found.best.values["study.step_size"]) + 1) < 0.7
    assert found.better
    assert found.gain.low > 0
    assert "expect less of it on other questions" in found.sentence
    given_up = [trial for trial in found.trials if not trial.whole]
    assert given_up, "trials far from it are surely worse"
    assert all(0 < len(trial.f1) < len(QUESTIONS) for trial in given_up)
    assert all(sum(trial.f1) / len(trial.f1) < sum(found.best.f1) / len(found.best.f1) for trial in given_up)
    assert {tuple(asked[:3]) for asked in planted.asked} == {tuple(planted.asked[0][:3])}, "all questions in one order"


def test_a_search_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        search(tmp_path, Planted(dies_in=4))
    planted = Planted()
    found = search(tmp_path, planted)
    assert len(found.trials) == 14
    assert len(planted.asked) == 11, "three trials were over"
    again = Planted()
    assert search(tmp_path, again) == found
    assert again.asked == []


def test_another_search_is_not_gone_on_with(tmp_path: Path) -> None:
    search(tmp_path, Planted(), 2)
    other = Range(key="study.step_size", low=0.001, high=1, configured=0.003, whole=False)
    with pytest.raises(UsageError, match="the search there had other ranges or another setting; give the same, or start again"):
        search(tmp_path, Planted(), 2, [other])


def test_numbers_that_cannot_be_tried_are_left_out(tmp_path: Path) -> None:
    class Failing(Planted):
        def answers(self, values: Mapping[str, float], numbers: Sequence[int]) -> Iterator[tuple[float, float]]:
            if values["study.step_size"] > 0.2:
                raise ConfigError("--range: too large")
            return super().answers(values, numbers)

    failing = Failing()
    found = search(tmp_path, failing, 20)
    assert [trial.failed for trial in found.trials if trial.values["study.step_size"] > 0.2].count("--range: too large") >= 1
    assert all(trial.f1 for trial in found.trials if not trial.failed)
    assert not found.best.failed
    assert search(tmp_path, Planted(), 20) == found
    wrong = Range(key="study.step_size", low=0.0001, high=1, configured=0.5, whole=False)
    with pytest.raises(ConfigError):
        search(tmp_path / "other", Failing(), 2, [wrong])


def test_a_budget_is_kept(tmp_path: Path) -> None:
    wish = Wish(budget=Budget(fet=10.0 * Wish().expected_questions + 1000 * 0.02))
    found = search(tmp_path, Planted(), 20, wish=wish)
    assert any(trial.total_fet(wish.expected_questions) > wish.budget.fet for trial in found.trials)
    assert not found.better or found.best.total_fet(wish.expected_questions) <= wish.budget.fet
    with pytest.raises(UsageError, match="got seconds, expected FET beside --range"):
        check_search([RATE], Wish(budget=Budget(seconds=3)))


def test_a_cheaper_and_worse_one_does_not_hide_what_pays(tmp_path: Path) -> None:
    class Priced(Planted):
        def answers(self, values: Mapping[str, float], numbers: Sequence[int]) -> Iterator[tuple[float, float]]:
            good = values["study.step_size"] >= 0.003
            better = values["study.step_size"] > 0.02
            yield from ((float(n % 10 < 5 + 3 * better - (not good)), 10.0) for n in numbers)

        def sleep_fet(self, values: Mapping[str, float]) -> float:
            return 10_000 if values["study.step_size"] >= 0.003 else 1000

    found = search(tmp_path, Priced(), 12, wish=Wish(price=100))
    assert found.better
    assert found.best.values["study.step_size"] > 0.02


def test_what_is_better_and_not_worth_its_price_is_not_taken(tmp_path: Path) -> None:
    found = search(tmp_path, Planted(), wish=Wish(price=0.001))
    assert not found.better


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study.step_size", r"--range: got 'study.step_size', expected KEY=LOW:HIGH"),
        ("study.step_size=0.1", "expected KEY=LOW:HIGH"),
        ("study.step_size=0.1:x", "expected KEY=LOW:HIGH"),
        ("study.step_size=0.1:0.01", "expected KEY=LOW:HIGH"),
        ("study.step_size=0.001:inf", "expected KEY=LOW:HIGH"),
        ("sleep.patience=-inf:5", "expected KEY=LOW:HIGH"),
        ("study.stepsize=0.001:0.1", "unknown key study.stepsize; did you mean study.step_size"),
        ("study.step_size=0.01:0.1", "study.step_size is 0.003, expected a range that holds it, got 0.01 to 0.1"),
        ("sleep.passes=1:4", "sleep.passes is 'auto', expected a setting that has a number"),
        ("guard.enabled=0:1", "expected a setting that has a number"),
        ("stream.chunk_tokens=0:256", "--range"),
        ("seed=0:9", "--range"),
    ],
)
def test_what_is_no_range_is_told(text: str, message: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=message) as error:
        Range.parse(text, load_config())
    assert "\n" not in str(error.value)


def test_numbers_of_several_sizes_and_whole_ones() -> None:
    config = load_config()
    doubt, questions = Range.parse("dreams.most_doubt=0.02:0.4", config), Range.parse("dreams.per_sentence=1:4", config)
    assert (doubt.log, doubt.whole, doubt.sleeps) == (True, False, True)
    assert (questions.log, questions.whole) == (False, True)
    assert not Range.parse("answer.not_stated=0:0.1", config).sleeps
    assert with_values(config, {"dreams.per_sentence": 3, "dreams.most_doubt": 0.2}).dreams.per_sentence == 3


def test_tuning_searches_at_what_is_recommended(llama: Base, tmp_path: Path) -> None:
    document = Document.from_text(tiny.STORY, "orrin")
    questions = [Question(id=str(n), question=f"Who kept it in 18{n}?", answers=("Maren Tull",)) for n in range(43, 49)]
    config = tiny.make_config("guard.enabled=false", "answer.max_new_tokens=3")
    more = {"questions": questions, "passes": [0, 1], "base": llama, "config": config, "folder": tmp_path / "run"}
    told: list[str] = []
    found = tune(document, ranges=["study.step_size=0.001:0.01"], trials=3, tell=told.append, **more)  # type: ignore[arg-type]
    assert found.searched is not None
    assert len(found.searched.trials) == 3
    assert found.searched.trials[0].values == {"study.step_size": pytest.approx(0.003)}
    assert found.searched.trials[0].sleep_fet > 0, "a number of the sleep needs one"
    assert [line for line in told if line.startswith("trial 2 of 3: study.step_size")]
    assert found.to_dict()["searched"]["sentence"] == found.searched.sentence
    again = tune(document, ranges=["study.step_size=0.001:0.01"], trials=3, tell=pytest.fail, **more)  # type: ignore[arg-type]
    assert again.searched == found.searched


def test_a_number_of_answers_needs_no_sleep(llama: Base) -> None:
    document = Document.from_text(tiny.STORY, "orrin")
    questions = [Question(id="1", question="Who kept it?", answers=("Maren Tull",))]
    config = tiny.make_config("guard.enabled=false", "answer.max_new_tokens=3")
    heard: list[object] = []
    found = tune(
        document,
        questions=questions,
        passes=[0, 1],
        base=llama,
        config=config,
        ranges=["answer.not_stated=0:0.1"],
        trials=2,
        listener=heard.append,
    )
    assert found.searched is not None
    if not found.recommendation.passes:
        assert all(trial.sleep_fet == 0 for trial in found.searched.trials)
