"""Scores: the SQuAD marks, and the rule of each data set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrem.runtime.measure.scores import RULES, exact_match, f1, normalise, score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Age of Enlightenment.", "age of enlightenment"),
        ("An apple, a day", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("the", ""),
    ],
)
def test_normalisation_is_that_of_squad(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_the_best_accepted_answer_counts() -> None:
    assert exact_match("612 m", ["612 metres", "612 m"]) == 1
    assert f1("tall 612 metres", ["612", "612 metres"]) == pytest.approx(0.8)
    assert f1("612 612", ["612"]) == pytest.approx(2 / 3)  # a repeated word is common once


def test_yes_and_no_are_worth_nothing_in_part() -> None:
    assert f1("yes it is", ["yes"]) == 0
    assert f1("Yes.", ["yes"]) == 1


def test_empty_outputs_score_nothing() -> None:
    for dataset in ("", *RULES):
        marks = score("Where is John?", "", ["hallway"], dataset)
        assert (marks.em, marks.f1, marks.accuracy) == (0, 0, 0)


@given(st.text(), st.text(min_size=1))
def test_f1_is_symmetric_and_covers_exact_match(output: str, answer: str) -> None:
    assert f1(output, [answer]) == f1(answer, [output]) or normalise(answer) in ("yes", "no") or normalise(output) in ("yes", "no")
    assert 0 <= exact_match(output, [answer]) <= f1(output, [answer]) <= 1


@pytest.mark.parametrize(
    ("dataset", "question", "output", "answer", "right"),
    [
        ("babi_1.2", "Where is John?", "John is in the hallway. Then the kitchen.", "hallway", True),
        ("babi_1.2", "Where is John?", "hallway or kitchen", "hallway", False),
        ("babilong_style", "Where was the apple before the kitchen?", "Before the kitchen: the garden", "garden", True),
        ("babi_1.2", "Where is John?", "I do not know", "hallway", False),
        ("gsm_infinite", "How many?", "So 3 + 4 = 7.", "7", True),
        ("gsm_infinite", "How many?", "7, or 8", "7", False),
        ("gsm_infinite", "How many?", "1,024", "1024", True),
        ("gsm_infinite", "How many?", "many", "7", False),
        ("kv_retrieval_75", "Value?", 'It is "bb3ba2a5-7de8".', "bb3ba2a5-7de8", True),
        ("kv_retrieval_75", "Value?", "bb3ba2a5", "bb3ba2a5-7de8", False),
        ("squad_v1.1", "Who?", "The Germans", "Germans", True),
        ("squad_v1.1", "Who?", "Baltic Germans", "Germans", False),
    ],
)
def test_accuracy_by_the_rule_of_the_data_set(dataset: str, question: str, output: str, answer: str, right: bool) -> None:
    assert score(question, output, [answer], dataset).accuracy == right
