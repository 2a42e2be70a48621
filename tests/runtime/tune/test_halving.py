"""Sequential halving on planted banks: the best is found, nothing is paid for twice, and the budget holds."""

import random
from collections.abc import Sequence

import pytest

from benchmarks.harness.planted import QUESTIONS, SHAPES, Planted, PlantedBank, Shape, true_scores
from nrem.runtime.tune.halving import Sample, halve


class Table:
    """Outcomes that are known beforehand: one score a setting, and a price."""

    def __init__(self, scores: dict[str, float], fet: dict[str, float] | None = None) -> None:
        self.scores, self.fet = scores, fet or dict.fromkeys(scores, 1.0)
        self.asked: list[tuple[str, int]] = []

    def samples(self, setting: str, question: int) -> Sequence[Sample]:
        return [Sample(self.scores[setting], self.fet[setting])] if (setting, question) in self.asked else []

    def ask(self, setting: str, questions: Sequence[int]) -> float:
        new = [(setting, q) for q in questions if (setting, q) not in self.asked]
        self.asked += new
        return len(new) * self.fet[setting]


def score(setting: object, mean: float, fet: float) -> float:
    return mean


def test_the_best_of_a_table_is_found_for_every_price() -> None:
    table = Table({"a": 0.2, "b": 0.9, "c": 0.8, "d": 0.5, "e": 0.1}, {"a": 1, "b": 9, "c": 2, "d": 1, "e": 1})
    found = halve([[s] for s in table.scores], table, range(20), 120, [score, lambda s, mean, fet: mean - 0.1 * fet])
    assert found.best == ("b", "c")
    assert found.fet <= 120
    assert found.fet == sum(table.fet[s] for s, _ in table.asked)
    assert len(table.asked) == len(set(table.asked))
    assert {"b", "c"} <= set(found.finalists) <= set(table.scores)


def test_the_last_four_of_each_price_are_finished() -> None:
    table = Table({f"s{n}": n / 30 for n in range(30)})
    found = halve([[s] for s in table.scores], table, range(40), 600, [score])
    assert found.finalists == ("s29", "s28", "s27", "s26")


def test_the_cheaper_of_equals_is_taken() -> None:
    assert halve([["dear"], ["cheap"]], Table({"dear": 0.5, "cheap": 0.5}, {"dear": 3, "cheap": 2}), range(9), 40, [score]).best == (
        "cheap",
    )


def test_what_is_in_the_bank_is_free() -> None:
    table = Table({"a": 0.2, "b": 0.9, "c": 0.8})
    for setting in table.scores:
        table.ask(setting, range(12))
    found = halve([[s] for s in table.scores], table, range(12), 0, [score])
    assert (found.best, found.fet) == (("b",), 0)
    assert found.questions == (12, 12)


def test_a_single_setting_needs_no_question() -> None:
    table = Table({"a": 0.2})
    assert halve([["a"]], table, range(12), 100, [score]).best == ("a",)
    assert table.asked == []


def test_what_a_round_judges_by_is_in_inverse_proportion_to_what_it_judges() -> None:
    table = Table({f"{n:02d}": n / 18 for n in range(18)})
    found = halve([[s] for s in table.scores], table, range(1000), 18 * 100, [score])
    judged = [18, 12, 8, 6, 4, 3, 2]
    assert found.best == ("17",)
    assert [asked * left / (18 * found.questions[0]) for asked, left in zip(found.questions, judged, strict=True)] == pytest.approx(
        [1] * 7, rel=0.05
    )
    assert 0.99 * 1800 < found.fet <= 1800
    assert found.questions[0] > 1.5 * 100 / 5  # equal parts over five halvings gave the first round this


def test_four_questions_are_asked_of_everything_whatever_the_budget_is() -> None:
    table = Table({"a": 0.2, "b": 0.9, "c": 0.8})
    found = halve([[s] for s in table.scores], table, range(12), 1, [score])
    assert (found.best, found.fet, found.questions) == (("b",), 12, (4, 4))


def test_draws_of_many_votes_serve_those_of_few() -> None:
    bank = PlantedBank(0)
    nine, three, one = (Planted(1, 2, n) for n in (9, 3, 1))
    assert bank.ask(nine, [5]) == 9 * SHAPES[1].fet
    assert [len(bank.samples(s, 5)) for s in (nine, three, one)] == [1, 3, 9]
    assert bank.ask(three, [5]) == 0
    votes = [x.score for x in bank.samples(one, 5)]
    assert [x.score for x in bank.samples(three, 5)] == [float(sum(votes[i : i + 3]) > 1.5) for i in (0, 3, 6)]


def test_what_is_planted_is_what_the_draws_say() -> None:
    """The chances that the benchmark compares with, beside a bank of many questions."""
    true, banks = true_scores(), [PlantedBank(seed) for seed in range(6)]
    for setting in (Planted(1, 2, 9), Planted(0, 2, 3), Planted(2, 0, 1)):
        drawn = []
        for bank in banks:
            bank.ask(setting, range(QUESTIONS))
            drawn += [bank.samples(setting, q)[0].score for q in range(QUESTIONS)]
        assert sum(drawn) / len(drawn) == pytest.approx(true[setting], abs=0.03)


def test_the_planted_best_is_found_for_a_quarter_of_the_price() -> None:
    true = true_scores()
    best, found = max(true, key=lambda s: true[s]), []
    for seed in range(10):
        bank = PlantedBank(seed)
        order = random.Random(seed).sample(range(QUESTIONS), QUESTIONS)
        halved = halve(bank.families(), bank, order, 0.25 * bank.exhaustive_fet, [score])
        assert bank.fet == halved.fet <= 0.25 * bank.exhaustive_fet
        found.append(halved.best[0])
    assert found.count(best) >= 9


def test_where_votes_hurt_none_are_chosen() -> None:
    """Every draw is wrong more often than right, on every question alike: a majority is worse than one."""
    hurt = [Shape((0.3, 0.35, 0.4, 0.4), 60), Shape((0.2, 0.25, 0.3, 0.3), 60)]
    bank = PlantedBank(3, hurt)
    [best] = halve(bank.families(), bank, range(QUESTIONS), 0.25 * bank.exhaustive_fet, [score]).best
    assert (best.wording, best.votes) == (0, 1)
    assert best.passes in (2, 4)
