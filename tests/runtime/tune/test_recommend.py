"""The recommendation: which level, at which price or budget, and in which words; intervals by question."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from nrem.consolidation.budget import Budget
from nrem.consolidation.resample import QuestionResampler
from nrem.memory.errors import UsageError
from nrem.runtime.tune.recommend import Recommendation, Wish, recommend
from nrem.runtime.tune.rows import Asked, Row

COUNT = 40


def row(
    passes: int | None,
    f1: Sequence[float],
    *,
    sleep: float = 0.0,
    question: float = 50.0,
    nll: float = 3.0,
    cut: bool = False,
    **fields: object,
) -> Row:
    asked = tuple(
        Asked(id=str(i), answer="a", nll=nll + 0.01 * i, f1=x, em=float(x == 1), fet=question, seconds=question / 1000, cut=cut)
        for i, x in enumerate(f1)
    )
    return Row(passes=passes, asked=asked, fet={"passes": sleep}, seconds={"passes": sleep / 1000}, **fields)  # type: ignore[arg-type]


def right(share: float, seed: int = 0) -> list[float]:
    """F1 of `COUNT` questions of which this share is answered; of two shares the larger answers all that the smaller does."""
    order = random.Random(seed).sample(range(COUNT), COUNT)
    return [float(order[i] < share * COUNT) for i in range(COUNT)]


def advise(rows: Sequence[Row], **wish: object) -> Recommendation:
    return recommend(rows, Wish(**wish), QuestionResampler(COUNT))  # type: ignore[arg-type]


CONTEXT = row(None, right(0.9), question=2000)
CLIMB = [row(0, right(0.1)), row(2, right(0.5), sleep=4000), row(4, right(0.8), sleep=8000), row(8, right(0.825), sleep=16000), CONTEXT]


def test_it_climbs_while_the_paired_interval_lies_above_zero() -> None:
    found = advise(CLIMB)
    assert (found.way, found.passes) == ("sleep", 4)
    assert found.sentences[0] == "4 passes: F1 80.0 (67.5 to 92.5), 9,000 FET for the sleep and 20 questions"
    [eight] = [s for s in found.sentences if s.startswith("8 passes")]
    assert eight.startswith("8 passes cost 1.9 times as much for +2.5 points (+0.0 to +7.5")
    assert eight.endswith("within the interval, so the cheaper is recommended")
    [two] = [s for s in found.sentences if s.startswith("2 passes")]
    assert two.startswith("2 passes cost 0.56 times as much for -30.0 points")


def test_two_small_steps_that_add_up_are_taken() -> None:
    """Level 2 is not surely better than level 1, nor 4 than 2; 4 is surely better than 1."""
    rows = [row(0, right(0.1)), row(1, right(0.5), sleep=10), row(2, right(0.55), sleep=20), row(4, right(0.7), sleep=40), CONTEXT]
    resampler = QuestionResampler(COUNT)
    assert resampler.difference(rows[2].values("f1"), rows[1].values("f1")).low <= 0
    assert advise(rows).passes == 4


def test_a_budget_is_a_cap_on_sleep_and_questions() -> None:
    assert advise(CLIMB, budget=Budget(fet=9000)).passes == 4
    found = advise(CLIMB, budget=Budget(fet=8999))
    assert found.passes == 2
    assert any(s.startswith("4 passes") and s.endswith("9,000 FET, more than the budget") for s in found.sentences)
    assert found.sentences[0].startswith("2 passes, within 8,999 FET: F1 50.0")
    assert advise(CLIMB, budget=Budget(seconds=9.0)).passes == 4
    assert any(s.endswith("9.0 s, more than the budget") for s in advise(CLIMB, budget=Budget(seconds=8.9)).sentences)
    found = advise(CLIMB, budget=Budget(fet=5))
    assert (found.way, found.passes) == ("floor", 0)
    assert found.sentences[0] == (
        "sleeping does not pay within 5 FET: not even 20 questions without a document fit, they cost 1,000 FET"
    )  # fmt: skip


def test_a_price_is_what_a_point_is_worth() -> None:
    """From 0 to 2 passes 40 points cost 4,000 FET more, from 2 to 4 30 points cost 4,000."""
    assert advise(CLIMB, price=140.0).passes == 4
    found = advise(CLIMB, price=110.0)
    assert found.passes == 2
    assert found.sentences[0].startswith("2 passes, at 110 FET a point: F1 50.0")
    assert any(s.startswith("4 passes") and s.endswith("more than the price allows") for s in found.sentences)
    found = advise(CLIMB, price=90.0)
    assert (found.way, found.passes) == ("floor", 0)
    assert found.sentences[0] == "sleeping does not pay at 90 FET a point: no number of passes that was tried earns its cost over 0 passes"


def test_the_prompt_is_cheaper_for_few_questions() -> None:
    found = advise(CLIMB, expected_questions=3)
    assert (found.way, found.passes) == ("context", 4)
    assert found.sentences[0].startswith(
        "put the document in the prompt: for 3 questions it costs 0.74 times as much as 4 passes, for +10.0"
    )
    assert found.break_even_questions == 5  # 8,000 FET of sleep, 1,950 saved a question
    assert "sleeping is the cheaper way from 5 questions on" in found.sentences
    assert advise(CLIMB, expected_questions=5).way == "sleep"


def test_a_cheaper_prompt_that_scores_less_is_not_recommended() -> None:
    rows = [*CLIMB[:-1], row(None, right(0.2), question=2000)]
    assert advise(rows, expected_questions=3).way == "sleep"


def test_the_prompt_is_the_better_buy_where_price_or_budget_say_so() -> None:
    rows = [*CLIMB[:-1], row(None, right(1.0), question=1000)]  # 20 points more for 11,000 FET more
    assert advise(rows).way == "sleep"
    assert advise(rows, price=600.0).way == "context"
    assert advise(rows, price=500.0).way == "sleep"
    assert advise(rows, budget=Budget(fet=20_000)).way == "context"
    assert advise(rows, budget=Budget(fet=19_999)).way == "sleep"


def test_where_nothing_helps_it_says_so() -> None:
    rows = [row(0, right(0.3)), row(2, right(0.3, seed=1), sleep=4000, nll=2.0), row(None, right(0.3), question=20)]
    found = advise(rows)
    assert (found.way, found.passes, found.break_even_questions) == ("context", 0, None)
    assert found.sentences[0].startswith("put the document in the prompt: for 20 questions it costs 0.4 times as much as 0 passes")
    assert "sleeping does not pay: no number of passes that was tried earns its cost over 0 passes" in found.sentences
    assert any(
        s.startswith("in answer NLL, which moves sooner than F1, 2 passes are better than 0 passes by 1.00 nats") for s in found.sentences
    )
    dear = [*rows[:2], row(None, right(0.3), question=5000)]
    assert advise(dear).way == "floor"


def test_what_happened_to_a_row_is_said() -> None:
    rows = [*CLIMB[:3], row(8, right(0.1), sleep=16000, rolled_back=2), row(None, right(0.9), question=2000, cut=True)]
    sentences = advise(rows).sentences
    assert any("2 sleeps rolled back by the guard" in s for s in sentences)
    assert "the document is too long for the prompt, so its middle was left out there" in sentences
    slow = [*CLIMB[:-1], row(None, right(0.9), question=40)]
    assert any(s.startswith("sleeping is never the cheaper way") for s in advise(slow).sentences)


def test_wishes_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="--price and --budget: got both"):
        Wish(price=1.0, budget=Budget(fet=1.0))
    with pytest.raises(UsageError, match="--expected-questions: got 0, expected 1 or more"):
        Wish(expected_questions=0)


def test_intervals_are_those_of_the_bootstrap() -> None:
    values = np.random.default_rng(5).normal(2.0, 1.0, 200).tolist()
    found = QuestionResampler(200).mean(values)
    assert found.mean == pytest.approx(np.mean(values))
    half = 1.96 * np.std(values) / np.sqrt(200)
    assert (found.low, found.high) == (pytest.approx(found.mean - half, abs=0.03), pytest.approx(found.mean + half, abs=0.03))
    assert QuestionResampler(200).mean(values) == found


def test_a_difference_is_paired() -> None:
    noisy = np.random.default_rng(6).normal(0.0, 10.0, 50)
    shifted = (noisy + 0.5).tolist()
    found = QuestionResampler(50).difference(shifted, noisy.tolist())
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
