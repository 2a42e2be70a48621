"""Cues: which sentences are asked about, and that what is to be said is what is understood, whatever stands in a text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from nrem.consolidation.dream.cue import (
    LONGEST_ANSWER,
    LONGEST_QUESTION,
    LONGEST_SENTENCE,
    answer_said,
    cue_ids,
    goal_ids,
    question_said,
    sentence_of,
    sentences_to_ask,
    text_ids,
)
from nrem.consolidation.prompts import Prompts
from nrem.memory.stream.chunk import QuestionAnswer
from tests import tiny

PROMPTS = Prompts(tiny.make_tokenizer(), template="plain")
TEXT = "Maren kept the lamp of Orrin. Aldo sailed the boat to Wexley on Tuesdays."


def said(question: str, answer: str = "Aldo") -> list[int]:
    return goal_ids(PROMPTS, QuestionAnswer(question, answer))


def marked_prompts() -> Prompts:
    """Of a tokenizer with marks of its own, one of which ends a turn."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "additional_special_tokens": ["<tool_call>"]}
    return Prompts(PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **marks))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\n ", []),
        ("Orrin", []),
        ("Dr. Vane!", []),
        ("Aldo sailed away.", ["Aldo sailed away."]),
        (TEXT, ["Maren kept the lamp of Orrin.", "Aldo sailed the boat to Wexley on Tuesdays."]),
        (f"{TEXT}\n\n{TEXT}", ["Maren kept the lamp of Orrin.", "Aldo sailed the boat to Wexley on Tuesdays."]),
        ("It burned\n\t 60   litres\nof oil\u00a0a night.", ["It burned 60 litres of oil a night."]),
        (
            "- Maren kept the lamp\n- Aldo sailed the boat\n- the parish paid 340 crowns",
            ["- Maren kept the lamp", "- Aldo sailed the boat", "- the parish paid 340 crowns"],
        ),
        ("Name | Born | Trade\n--- | --- | ---\nMaren Tull | 1843 | keeper\n", ["Name | Born | Trade", "Maren Tull | 1843 | keeper"]),
        ("# The harbour of Wexley\n\nIt froze in 1858.", ["# The harbour of Wexley", "It froze in 1858."]),
        ("the keeper of the lamp went home over the ice", ["the keeper of the lamp went home over the ice"]),
        ("小王在一八四三年管理灯塔。他的哥哥开船。", ["小王在一八四三年管理灯塔。", "他的哥哥开船。"]),
        ("마렌은 등대를 지켰다.", ["마렌은 등대를 지켰다."]),
        ("好的。", []),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, str) else "",
)
def test_what_is_asked_about(text: str, expected: list[str]) -> None:
    assert sentences_to_ask(text) == expected


def test_of_a_sentence_without_end_the_beginning_is_asked_about() -> None:
    (sentence,) = sentences_to_ask("the boat and the lamp and " * 100)
    assert len(sentence) == LONGEST_SENTENCE
    assert sentence.startswith("the boat and the lamp")


@given(st.text())
def test_any_text_gives_single_lines_of_bounded_length_each_once(text: str) -> None:
    asked = sentences_to_ask(text)
    assert len(asked) == len(set(asked))
    for sentence in asked:
        assert sentence == " ".join(sentence.split()) or len(sentence) == LONGEST_SENTENCE
        assert "\n" not in sentence
        assert len(sentence) <= LONGEST_SENTENCE
        assert sentence in " ".join(text.split())


def test_the_sentence_of_an_answer_shares_most_words_with_the_question() -> None:
    text = "Aldo left Wexley in May. The boat of Wexley sank in a storm. In Hallow nothing happened."
    assert sentence_of(text, QuestionAnswer("Where did the boat sink?", "wexley")) == "The boat of Wexley sank in a storm."
    assert sentence_of(text, QuestionAnswer("Which place did Aldo leave?", "Wexley")) == "Aldo left Wexley in May."
    assert sentence_of(text, QuestionAnswer("Who?", "Bertram")) is None
    assert sentence_of(text, QuestionAnswer("Where?", "in   a\nstorm")) == "The boat of Wexley sank in a storm."
    assert sentence_of("他的哥哥开船。小王管理灯塔。", QuestionAnswer("谁管理灯塔？", "小王")) == "小王管理灯塔。"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (TEXT, ("Who sailed?", "Aldo")),
        (TEXT, ("Who kept it: Answer: whom?", "maren")),
        (TEXT, ("When, on which days?", "on\u00a0Tuesdays")),
        (TEXT, ("x" * LONGEST_QUESTION, "to Wexley")),
        ("k" * LONGEST_ANSWER, ("What?", "k" * LONGEST_ANSWER)),
        ("小王在一八四三年管理灯塔。", ("谁管理灯塔？", "小王")),
        ("It burned <|im_end|> and </s> or <s> 5 litres.", ("What </s> burned?", "<|im_end|> and </s>")),
    ],
)
@pytest.mark.parametrize("prompts", [PROMPTS, marked_prompts()], ids=["plain", "marked"])
def test_what_is_to_be_said_is_understood(prompts: Prompts, text: str, asked: tuple[str, str]) -> None:
    """Also with more behind the line, which nobody reads."""
    question, answer = asked
    ids = goal_ids(prompts, QuestionAnswer(question, answer))
    assert ids.count(prompts.stop_id) == 1
    assert ids[-1] == prompts.stop_id
    assert question_said(prompts, ids) == question_said(prompts, ids + ids) == question
    assert answer_said(prompts, prompts.answer_ids(answer), text) == answer


@given(st.text(min_size=1, max_size=LONGEST_QUESTION), st.text(min_size=1, max_size=LONGEST_ANSWER), st.text(max_size=40))
def test_whatever_is_understood_is_what_was_meant(question: str, answer: str, around: str) -> None:
    """A question in one line, an answer with a word in it that stands in the text; or they are not understood."""
    asked = question_said(PROMPTS, goal_ids(PROMPTS, QuestionAnswer(question, answer)))
    assert asked == (question.strip().split("\n")[0].strip() or None)
    found = answer_said(PROMPTS, PROMPTS.answer_ids(answer), f"{around} {answer} {around}")
    assert found in (answer.strip(), None)
    assert (found is None) == (re.search(r"\w", answer) is None)


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([], id="nothing"),
        pytest.param([PROMPTS.stop_id], id="only the end"),
        pytest.param(PROMPTS.plain_ids(" Who sailed?"), id="unfinished"),
        pytest.param([*PROMPTS.plain_ids(" Who sailed?"), PROMPTS.stop_id], id="no line"),
        pytest.param(PROMPTS.plain_ids("\nAnswer: Aldo"), id="a blank line"),
        pytest.param(said("x" * (LONGEST_QUESTION + 1)), id="long"),
    ],
)
def test_what_is_no_question(ids: list[int]) -> None:
    assert question_said(PROMPTS, ids) is None


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([], id="nothing"),
        pytest.param([PROMPTS.stop_id], id="only the end"),
        pytest.param(PROMPTS.plain_ids(" Aldo"), id="unfinished"),
        pytest.param(PROMPTS.answer_ids("  "), id="blank"),
        pytest.param(PROMPTS.answer_ids("."), id="no word"),
        pytest.param(PROMPTS.answer_ids("Bertram"), id="not in the text"),
        pytest.param(PROMPTS.answer_ids("x" * (LONGEST_ANSWER + 1)), id="long"),
    ],
)
def test_what_is_no_answer(ids: list[int]) -> None:
    assert answer_said(PROMPTS, ids, TEXT + "x" * (LONGEST_ANSWER + 1)) is None


def test_marks_in_text_and_sentence_stay_text() -> None:
    prompts = marked_prompts()
    text = "He wrote <|im_end|> and <|im_start|>user and <tool_call> there."
    (sentence,) = sentences_to_ask(text)
    special = set(prompts.tokenizer.all_special_ids)
    assert not special.intersection(cue_ids(prompts, sentence))
    first, *rest = text_ids(prompts, text)
    assert first == prompts.tokenizer.bos_token_id
    assert not special.intersection(rest)
    assert prompts.tokenizer.decode(cue_ids(prompts, sentence)) == f"About: {text}\nQuestion:"
    assert prompts.tokenizer.decode(rest) == f"{text}\n\n"


def test_the_text_stands_in_front_of_all_of_its_cues() -> None:
    assert text_ids(PROMPTS, f"\n{TEXT} ") == text_ids(PROMPTS, TEXT)
    assert text_ids(PROMPTS, "") == [256, *PROMPTS.plain_ids("\n\n")]  # 256 begins a sequence
