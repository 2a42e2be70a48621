"""Facts are spans of the text, found by form; probes ask for them without giving them away, the same every time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.consolidation.probe.facts import Fact, find_facts
from nrem.consolidation.probe.probes import ProbeConfig, held_out_probes, study_items, thin
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk
from tests import tiny

words = st.sampled_from(
    ["The", "keeper", "Maren", "Tull", "lit", "12", "May", "1843", "three", "per cent", ".", "\n\n", "Ünï", "漢", "a", "lamp's"]
)
texts = st.one_of(st.text(max_size=200), st.lists(words, max_size=60).map(" ".join))


def make_chunk(text: str, title: str = "") -> Chunk:
    return Chunk(document="d", title=title, index=3, start=0, end=len(text), text=text, num_tokens=len(text))


def found(text: str, title: str = "") -> list[tuple[str, str]]:
    return [(fact.answer, fact.kind) for fact in find_facts(make_chunk(text, title))]


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        ("The harbour froze on 12 January 1858 and stayed so.", [("12 January 1858", "date")]),
        ("The lamp was lit again in 1871 by nobody.", [("1871", "year")]),
        ("It held 3,400 litres and cost $12.50 a year.", [("3,400", "number"), ("$12.50", "number")]),
        ("About 40 per cent of them came from Wexley.", [("40 per cent", "number"), ("Wexley", "name")]),
        ("The boat was built by Bertram Frost of Hallow in spring.", [("Bertram Frost of Hallow", "name")]),
        ("they said nothing and kept the lanterns burning.", [("nothing", "word"), ("lanterns", "word")]),
        ("# A heading with the year 1843 in it", []),
        ("## Ports\nThe server listens on port 8080 by default.", [("8080", "number")]),
        ("## Ports\n- http listens on port 8080\n- ssh listens on port 2222", [("8080", "number"), ("2222", "number")]),
        ("# Where it listens.\nport = 8080 on all hosts\n# How long.\nwait = 30 s at the most\n", [("8080", "number"), ("30", "number")]),
        ("Too short 1843.", []),
    ],
)
def test_spans_are_found_by_form(sentence: str, facts: list[tuple[str, str]]) -> None:
    assert found(sentence) == facts


def test_only_whole_words_of_the_title_are_left_out() -> None:
    text = "The port is 18 metres deep and 2018 steps from Hallow."
    assert ("18", "number") in found(text, "Report 2018")
    assert ("2018", "year") not in found(text, "Report 2018")


def test_what_the_text_is_about_is_not_asked_for() -> None:
    text = "Orrin had a light in 1843. Then Orrin grew to 400 people. Later Orrin lost the light again. It was Orrin that won."
    assert "Orrin" not in [answer for answer, _ in found(text)]
    assert found("The tower of Wexley was finished in 1843.", title="Wexley") == [("1843", "year")]


@settings(max_examples=100, deadline=None)
@given(texts)
def test_a_fact_is_a_span_of_the_text(text: str) -> None:
    plain = " ".join(text.split())
    facts = find_facts(make_chunk(text))
    assert facts == find_facts(make_chunk(text))
    for fact in facts:
        assert fact.chunk == 3
        assert fact.sentence in plain
        assert fact.answer.strip()
        assert 0 <= fact.start < fact.end <= len(fact.sentence)
    for a, b in itertools.pairwise(facts):
        assert a.sentence != b.sentence or a.end <= b.start or a.start >= b.end


@settings(max_examples=50, deadline=None)
@given(texts, st.integers(0, 4), st.integers(0, 3))
def test_questions_are_made_the_same_every_time(text: str, phrasing: int, seed: int) -> None:
    facts = find_facts(make_chunk(text))
    items = study_items(facts, phrasing, seed)
    assert items == study_items(facts, phrasing, seed)
    assert [item.answer for item in items] == [fact.answer for fact in facts]


def test_no_question_gives_its_answer_away() -> None:
    facts = find_facts(make_chunk(tiny.STORY))
    assert len(facts) > 10
    for phrasing in range(5):
        for item, fact in zip(study_items(facts, phrasing, 0), facts, strict=True):
            if fact.sentence.count(fact.answer) == 1:
                assert fact.answer not in item.question, item


def test_held_out_questions_are_asked_in_other_words() -> None:
    config = ProbeConfig()
    facts = find_facts(make_chunk(tiny.STORY))
    held_out = {probe.question for probe in held_out_probes(facts, config)}
    studied = {item.question for phrasing in range(config.num_phrasings) for item in study_items(facts, phrasing, 0)}
    assert held_out
    assert not held_out & studied


@given(st.integers(0, 60), st.integers(1, 20))
def test_thinning_keeps_order_and_spreads_evenly(count: int, limit: int) -> None:
    facts = [Fact(chunk=0, sentence=f"{i:03d}", start=0, end=3, kind="number") for i in range(count)]
    kept = [int(fact.answer) for fact in thin(facts, limit)]
    assert len(kept) == min(count, limit)
    assert kept == sorted(set(kept))
    gaps = [b - a for a, b in itertools.pairwise(kept)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"probes\.facts_per_chunk: got 0, expected a whole number from 1"):
        ProbeConfig(facts_per_chunk=0)


ROWS = "\n".join(f"{4100 + i},2024-03-{i % 28 + 1:02d},Ana Okafor{i},Wexley,lamp oil,{i * 3},2.5,{i * 7}.5,yes" for i in range(30))


def test_a_row_of_a_table_is_a_sentence_of_its_own() -> None:
    facts = find_facts(make_chunk("order,date,customer,town,item,quantity,unit_price,total,paid\n" + ROWS))
    assert len({fact.sentence for fact in facts}) > 20
    assert max(len(fact.sentence) for fact in facts) < 100


def test_a_long_sentence_is_cut_around_what_is_asked_for() -> None:
    sentence = " ".join(f"left{i}" for i in range(300)) + " in 1843 came " + " ".join(f"right{i}" for i in range(300)) + "."
    [fact] = [fact for fact in find_facts(make_chunk(sentence)) if fact.answer == "1843"]
    config = ProbeConfig(question_tokens=40)
    [probe] = held_out_probes([fact], config, lambda text: len(text.split()))
    assert 36 <= len(probe.question.split()) <= 40
    assert "left299" in probe.question
    assert "right0" in probe.question
    assert "left0 " not in probe.question
    [whole] = held_out_probes([fact], ProbeConfig(question_tokens=10_000), len)
    assert len(whole.question.split()) > 600


def test_what_no_short_question_can_ask_for_is_left_out() -> None:
    blob = "x" * 500
    start = len(f"{blob} {blob} was ")
    fact = Fact(chunk=0, sentence=f"{blob} {blob} was 1843 {blob} {blob}", start=start, end=start + 4, kind="year")
    assert held_out_probes([fact], ProbeConfig()) == []
    long_answer = Fact(chunk=0, sentence=f"It was called {blob} then.", start=14, end=514, kind="name")
    assert held_out_probes([long_answer], ProbeConfig()) == []
    with pytest.raises(UsageError, match=r"probes\.share: got 0, expected a share above 0, up to 1 for all chunks"):
        ProbeConfig(share=0)
