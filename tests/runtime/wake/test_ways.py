"""Ways with an amount: what is refused, in which words; what each of them adds to an answer, and at which price."""

import re
from math import comb
from pathlib import Path

import pytest
from scipy.special import betainc

from nrem.memory.errors import ConfigError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.config import load_config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.decode import WAIT
from nrem.runtime.wake.search import NEARLY, SNIPPET_TOKENS, _names
from nrem.runtime.wake.snippet import snippet
from nrem.runtime.wake.vote import FEWEST, SURE, ahead, elect
from nrem.runtime.wake.wake import SHOWN_TOKENS, Wake
from nrem.runtime.wake.ways import AUTO, WAYS, parse_way, resolve_way, ways_in_words
from tests import tiny

QUESTION = "Who kept the lighthouse?"


@pytest.fixture(scope="module")
def memory(llama: Base) -> Memory:
    config = tiny.make_config("sleep.passes=1", "guard.enabled=false")
    return Session(base=llama, config=config).stream(Document.from_text("# Orrin\n\n" + tiny.STORY, "story", "Orrin"))


@pytest.fixture
def wake(llama: Base, memory: Memory) -> Wake:
    return Wake.open(memory, llama)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("guess", "way: got 'guess', expected auto, router or one of direct, read, search, ensemble, think, vote, again"),
        ("search:9", "way search:9: got 9 rounds of search, expected 1 to 8; search alone is search:1"),
        ("think:0", "way think:0: got 0 tokens of thought, expected 1 to 256; think alone is think:32"),
        ("vote:many", "way: got 'vote:many', expected a whole number as in vote:5"),
        ("vote:", "way: got 'vote:', expected a whole number as in vote:5"),
        ("again:-1", "way: got 'again:-1', expected a whole number as in again:2"),
        ("direct:2", "way direct:2: direct takes no amount; write direct"),
        ("auto:2", "way: got 'auto:2', expected auto, router or one of"),
    ],
)
def test_what_is_no_way_is_refused_in_a_sentence(wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_way(wanted)
    with pytest.raises(ConfigError, match=re.escape(f"answer.{message}")):
        load_config(None, [f"answer.way={wanted}"])


def test_a_way_is_called_as_it_is_asked_for() -> None:
    for name, row in WAYS.items():
        assert str(parse_way(name)) == name
        if row.counts:
            assert str(parse_way(f"{name}:{row.counts.usual}")) == name
            assert str(parse_way(f"{name}:{row.counts.most}")) == f"{name}:{row.counts.most}"
            assert f"{name}[:N]: " in ways_in_words()
    assert f"{AUTO}: " in ways_in_words()


@pytest.mark.parametrize(
    ("chunks", "again", "way"), [(0, 2, "direct"), (1, 0, "read"), (2, 0, "ensemble"), (1, 2, "again"), (9, 3, "again:3")]
)
def test_what_is_gone_by_itself_depends_on_how_much_text_there_is(chunks: int, again: int, way: str) -> None:
    assert str(resolve_way(AUTO, kept=chunks, again=again, memory="m")) == way


def test_where_only_the_adapter_has_the_reader_it_stays_on() -> None:
    """Of a memory whose protocol no longer ships."""
    assert [str(resolve_way(AUTO, kept=kept, again=0, memory="m", retired=True)) for kept in (0, 1, 9)] == ["direct", "search", "search"]


def test_a_text_of_one_chunk_is_not_searched(tmp_path: Path) -> None:
    text = EvictedText(tmp_path)
    text.append(Chunk(document="d", title="", index=0, start=0, end=26, text="Wexley paid for the lamp. ", num_tokens=6))
    for way in ("search", "read", "search:3"):
        assert parse_way(way).chunks(text, "xyzzy") == [text.get(0)]


def test_one_round_is_what_the_index_finds_first_and_more_rounds_add(memory: Memory) -> None:
    text = memory.text
    assert text is not None
    (first,) = parse_way("search").chunks(text, QUESTION)
    assert first == text.search(QUESTION, 1)[0].chunk
    for rounds in (2, 3, 8):
        found = parse_way(f"search:{rounds}").chunks(text, QUESTION)
        assert 2 <= len(found) <= rounds  # a chunk without a word that was asked for is never found
        assert first.index in [chunk.index for chunk in found]
        assert [chunk.index for chunk in found] == sorted({chunk.index for chunk in found})
        assert all(chunk.num_tokens <= SNIPPET_TOKENS + 1 for chunk in found)
    assert parse_way("search:3").chunks(text, "xyzzy") == []


def test_the_second_chunk_is_beside_the_best_where_it_matches_nearly_as_well(tmp_path: Path) -> None:
    text = EvictedText(tmp_path)
    parts = ("Maren Tull kept the lamp.", "Aldo Fenn kept the lamp.", "Wexley paid 340 crowns for the boat.", "The harbour froze in 1858.")
    for index, part in enumerate(parts):
        text.append(Chunk(document="d", title="", index=index, start=100 * index, end=100 * index + len(part), text=part, num_tokens=10))
    for question, indices in (
        ("Who kept the lamp?", [0, 1]),
        ("Who paid 340 crowns for the lamp?", [2]),
        ("Did Aldo Fenn keep the lamp?", [1]),
    ):
        scores = [hit.score for hit in text.search(question, 2)]
        assert (scores[-1] >= NEARLY * scores[0] and len(scores) > 1) is (len(indices) > 1)
        assert [chunk.index for chunk in parse_way("search").chunks(text, question)] == indices
        assert (
            parse_way("read").chunks(text, question)
            == parse_way("think").chunks(text, question)
            == parse_way("search").chunks(text, question)
        )


def test_a_second_round_goes_by_the_names_that_the_first_has_found(tmp_path: Path) -> None:
    text = EvictedText(tmp_path)
    kept = "The Orrin lighthouse was kept by Maren Tull."
    parts = (kept, "A lighthouse burns oil.", "In Hallow Maren Tull was born.", "Wexley paid 340 crowns.", "The boat was lost.")
    for index, part in enumerate(parts):
        text.append(Chunk(document="d", title="", index=index, start=100 * index, end=100 * index + len(part), text=part, num_tokens=10))
    question = "Where did the keeper of the Orrin lighthouse come from?"
    assert [hit.chunk.index for hit in text.search(question, 2)] == [0, 1]
    assert [chunk.index for chunk in parse_way("search:2").chunks(text, question)] == [0, 2]


def test_what_has_no_capital_is_no_name(tmp_path: Path) -> None:
    assert _names("Анна встретила мужа в городе Москва в 1858 году.") == ["Анна", "Москва", "1858"]
    assert _names("über Nacht kam Maren O’Tull") == ["Nacht", "Maren", "O’Tull"]
    assert _names("灯台 12") == ["灯台"]


def test_a_snippet_is_where_the_questions_words_are() -> None:
    text = "The lamp burned oil. " * 10 + "Aldo sailed the boat to Wexley. He was late.\n" + "The lamp was sold. " * 10
    chunk = Chunk(document="d", title="", index=3, start=1000, end=1000 + len(text), text=text, num_tokens=100)
    found = snippet(chunk, "Who sailed to Wexley?", 20)
    assert "Aldo sailed the boat to Wexley." in found.text
    assert len(found.text) <= len(text) / 5
    assert (found.index, text[found.start - 1000 : found.end - 1000]) == (3, found.text)
    assert snippet(chunk, "Who?", 100) is chunk
    endless = "x" * 1000
    run = Chunk(document="d", title="", index=0, start=0, end=1000, text=endless, num_tokens=100)
    assert len(snippet(run, "Who?", 20).text) == 200


def test_a_thought_has_a_cap_and_a_floor_and_is_paid_for(wake: Wake, llama: Base) -> None:
    plain, thoughtful = wake.answer(QUESTION, "search"), wake.answer(QUESTION, "think:24")
    assert 12 <= thoughtful.thought_tokens <= 24
    assert (plain.thought_tokens, thoughtful.amount, thoughtful.way) == (0, 24, "think:24")
    assert thoughtful.leans_on == plain.leans_on
    assert thoughtful.document_tokens == plain.document_tokens
    assert thoughtful.fet > 1.9 * plain.fet + thoughtful.thought_tokens * 0.9, "the prompt is read for the thought, and for the answer"
    (thought,) = wake.answerer.think([QUESTION], [""], 24)
    prompts = wake.protocol
    prompt = [*prompts.thought_ids(QUESTION), *thought.ids, *prompts.after_thought_ids()]
    shown = llama.tokenizer.decode(prompt)
    assert shown.endswith("\nAnswer:")
    assert "\nThought:" in shown
    assert wake.answerer.ask_all([QUESTION], [""], [thought])[0].prompt_tokens == len(prompt) - len(thought.ids)


def test_a_thought_that_would_end_at_once_is_told_to_wait(wake: Wake) -> None:
    protocol, generator = wake.protocol, wake.answerer._generator
    prompt, wait = protocol.thought_ids(QUESTION), protocol.plain_ids(WAIT)[0]
    (free,) = generator.together([prompt], 8)
    generator.stop_ids = [*generator.stop_ids, free.tokens[0]]  # now it ends at once
    assert generator.together([prompt], 8)[0].tokens == []
    (held,) = generator.together([prompt], 8, least=3, instead=wait)
    assert held.tokens[0] == wait
    assert 3 <= len(held.tokens) <= 8
    (thought,) = wake.answerer.think([QUESTION], [""], 8)
    assert 4 <= len(thought.ids) <= 8


def test_votes_are_the_same_for_the_same_question(wake: Wake) -> None:
    first, second = (wake.answer(QUESTION, "vote:7") for _ in range(2))
    assert (first.answer, first.votes, first.agreement, first.fet) == (second.answer, second.votes, second.agreement, second.fet)
    assert 1 <= first.votes <= 7
    assert 1 / 7 <= first.agreement <= 1
    other = Wake(wake.base, load_config(None, ["seed=5", "answer.max_new_tokens=6"]), wake.protocol, wake.memory)
    drawn = [[a.answer for a in w.answerer.draw(QUESTION, "", [4])] for w in (wake, wake, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_prompt_is_read_once_for_all_votes(wake: Wake) -> None:
    context = tiny.STORY[:200]
    votes = list(wake.answerer.draw(QUESTION, context, [2, 1]))
    one = wake.answerer.ask(QUESTION, context)
    assert votes[0].fet > one.fet * 0.8
    assert all(vote.fet < one.fet * 0.2 for vote in votes[1:])


def vote(text: str) -> Answer:
    return Answer(question="q", answer=text, prompt_tokens=9, document_tokens=0, answer_tokens=1, fet=1.0, seconds=0.5)


@pytest.mark.parametrize(
    ("votes", "winner", "cast", "share"),
    [
        ("a b b", "b", 3, 2 / 3),
        ("a b", "a", 2, 0.5),
        ("a a a a a a", "a", FEWEST, 1.0),  # the others are never drawn
        ("Oslo the_Oslo oslo. OSLO x", "Oslo", 4, 1.0),
        ("b a a a a a a", "a", 7, 6 / 7),
    ],
)
def test_the_most_frequent_answer_wins_and_drawing_stops_when_it_is_ahead(votes: str, winner: str, cast: int, share: float) -> None:
    found = elect(vote(text.replace("_", " ")) for text in votes.split())
    assert (found.answer, found.votes, found.fet, found.seconds) == (winner, cast, cast, cast / 2)
    assert found.agreement == pytest.approx(share, abs=1e-4)


def test_being_ahead_is_the_integral_of_a_beta_density() -> None:
    for leader in range(12):
        for other in range(leader + 1):
            assert ahead(leader, other) == pytest.approx(1 - betainc(leader + 1, other + 1, 0.5), abs=1e-12)
    assert ahead(FEWEST, 0) >= SURE > ahead(FEWEST - 1, 0)
    assert comb(5, 0) / 2**5 == 1 - ahead(4, 0)


def test_a_forgotten_text_leaves_the_prompt_of_direct(llama: Base, memory: Memory) -> None:
    bare = Wake.open(Memory(record=memory.record, segments=memory.segments, text=None), llama)
    direct = bare.answer(QUESTION, "direct")
    for way in ("think:8", "vote:2"):
        found = bare.answer(QUESTION, way)
        assert (found.document_tokens, found.leans_on) == (0, ())
    assert bare.answer(QUESTION, "vote:2").prompt_tokens == direct.prompt_tokens
    with pytest.raises(UsageError, match="way again:3: this memory has forgotten its text"):
        bare.answer(QUESTION, "again:3")


def test_the_passages_are_what_an_answer_leans_on(wake: Wake, memory: Memory) -> None:
    answer = wake.answer(QUESTION, "search:2")
    assert memory.text is not None
    whole, passages = "".join(chunk.text for chunk in memory.text), wake.passages(answer)
    assert [passage.index for passage in passages] == [place["chunk"] for place in answer.leans_on]
    assert [passage.text for passage in passages] == [whole[passage.start : passage.end] for passage in passages]
    assert all(0 < passage.num_tokens <= SHOWN_TOKENS for passage in passages)
    assert wake.passages(wake.answer(QUESTION, "direct")) == []
