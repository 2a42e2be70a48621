"""The one door for answers: every way is what it says, one by one or together, and evaluation goes through the same door."""

from pathlib import Path

import pytest

from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.memory.text.heading import heading_of
from nrem.runtime.measure.evaluate import ARMS, DEAR, check_arms, evaluate_memory
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.snippet import part
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.way import Way
from nrem.runtime.wake.ways import WAYS, parse_way
from tests import tiny

QUESTIONS = ["Who kept the lighthouse?", "How many litres of oil?", "xyzzy"]


@pytest.fixture(scope="module")
def memory(llama: Base) -> Memory:
    """A memory of a short story in two chunks or more."""
    config = tiny.make_config("sleep.passes=2", "study.step_size=3e-2", "guard.enabled=false")
    return Session(base=llama, config=config).stream(Document.from_text("# Orrin\n\n" + tiny.STORY, "story", "Orrin"))


@pytest.fixture
def wake(llama: Base, memory: Memory) -> Wake:
    return Wake.open(memory, llama)


@pytest.mark.parametrize("way", ["direct", "search", "search:2", "read", "read:2"])
def test_a_way_is_its_prompt_and_its_weights(llama: Base, memory: Memory, wake: Wake, way: str) -> None:
    row, text = parse_way(way), memory.text
    assert text is not None
    for question in QUESTIONS:
        answer = wake.answer(question, way)
        chunks = row.chunks(text, question)
        weights = memory.attached(llama.model) if row.adapter else wake.nothing_written.attached(llama.model)
        with weights:
            expected = wake.answerer.ask(question, "\n\n".join(chunk.text.strip() for chunk in chunks))
        assert (answer.answer, answer.fet, answer.document_tokens) == (expected.answer, expected.fet, expected.document_tokens)
        assert answer.way == way
        assert [(p["document"], p["chunk"], p["start"], p["end"]) for p in answer.leans_on] == [
            (c.document, c.index, c.start, c.end) for c in chunks
        ]
    assert row.searches == bool(wake.answer(QUESTIONS[0], way).leans_on)
    assert not wake.answer("xyzzy", way).leans_on  # no word of it occurs


@pytest.mark.parametrize("way", [*WAYS, "search:2", "think:8", "vote:6"])
def test_together_and_one_by_one_are_the_same(wake: Wake, way: str) -> None:
    together = wake.answers(QUESTIONS, way)
    alone = [wake.answer(question, way) for question in QUESTIONS]
    assert [(a.answer, a.leans_on, a.fet) for a in together] == [(a.answer, a.leans_on, a.fet) for a in alone]
    pairs = [(question, "Tobias Wren") for question in QUESTIONS]
    assert wake.nlls(pairs, way) == pytest.approx([wake.nlls([pair], way)[0] for pair in pairs], rel=1e-4)


def test_the_adapter_matters_where_it_is_on(wake: Wake) -> None:
    pairs = [(QUESTIONS[0], "Tobias Wren")]
    search, read, direct = (wake.nlls(pairs, way)[0] for way in ("search", "read", "direct"))
    assert len({round(x, 5) for x in (search, read, direct)}) == 3


def test_auto_is_both_where_the_text_was_kept(llama: Base, memory: Memory, wake: Wake) -> None:
    assert str(wake.way()) == "ensemble"
    bare = Wake.open(Memory(record=memory.record, segments=memory.segments, text=None), llama)
    assert str(bare.way()) == "direct"
    with pytest.raises(UsageError, match="has forgotten its text"):
        bare.answer(QUESTIONS[0], "search")
    with pytest.raises(UsageError, match="way: got 'guess', expected auto, router or one of direct, read, search"):
        wake.answer(QUESTIONS[0], "guess")
    with pytest.raises(UsageError, match="got an empty one"):
        wake.answers(["Who?", " "])


def test_evaluation_goes_through_the_same_door(llama: Base, memory: Memory) -> None:
    """The arms of `nrem eval` are what `Session.answers` says."""
    asked = [Question(id=q, question=q, answers=("Tobias Wren",)) for q in QUESTIONS]
    found = evaluate_memory(llama, memory, asked, arms=("memory", "search", "read")).arms
    session = Session(memory, base=llama)
    for arm, way in (("memory", "direct"), ("search", "search"), ("read", "read")):
        assert [o.answer.answer for o in found[arm]] == [a.answer for a in session.answers(QUESTIONS, way)]
    assert {*ARMS, *DEAR} == {"floor", "wrong", "memory", "context"} | (set(WAYS) - {"direct"})


@pytest.mark.parametrize("way", ["search:2", "think:8", "vote:2", "again:1"])
def test_a_way_with_its_amount_is_an_arm(llama: Base, memory: Memory, wake: Wake, way: str) -> None:
    asked = [Question(id=q, question=q, answers=("Tobias Wren",)) for q in QUESTIONS[:2]]
    (found,) = evaluate_memory(llama, memory, asked, arms=(way,)).arms.values()
    assert [o.answer.answer for o in found] == [wake.answer(q, way).answer for q in QUESTIONS[:2]]
    assert {o.answer.way for o in found} == {way}
    assert [o.nll for o in found] == pytest.approx(wake.nlls([(q, "Tobias Wren") for q in QUESTIONS[:2]], way))
    with pytest.raises(UsageError, match=r"--arms: got 'floor:2', expected some of"):
        check_arms(["floor:2"])
    with pytest.raises(UsageError, match=r"way vote:99: got 99 votes at most, expected 1 to 64; vote alone is vote:5"):
        check_arms(["memory", "vote:99"])


def test_opening_a_memory_to_answer_makes_nothing_that_sleeps(
    llama: Base, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nrem.runtime.session.segments as segments

    monkeypatch.setattr(segments, "make_sleeper", lambda *given: pytest.fail("a sleeper was made"))
    folder = memory.save(tmp_path / "memory")
    loaded = Memory.load(folder)
    assert Session(loaded, base=llama).answer(QUESTIONS[0]).answer == Wake.open(loaded, llama).answer(QUESTIONS[0]).answer


def test_a_new_way_is_one_class_and_one_row(wake: Wake, llama: Base, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    class Last(Way):
        """the last chunk of the text in the prompt"""

        searches = True

        def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
            assert text is not None
            return [text.get(len(text) - 1)]

    monkeypatch.setitem(WAYS, "last", Last)
    assert memory.text is not None
    answer = wake.answer(QUESTIONS[0], "last")
    assert answer.way == "last"
    assert answer.leans_on[0]["chunk"] == len(memory.text) - 1
    again = Wake.open(memory, llama, ["answer.way=last"])
    assert again.answer(QUESTIONS[0]).answer == answer.answer
    with pytest.raises(UsageError, match="last"):
        wake.answer(QUESTIONS[0], "guess")


def test_the_heading_is_the_last_one_before_the_chunk(tmp_path: Path) -> None:
    text = EvictedText(tmp_path)
    parts = ["# Book\n\nIt begins.\n", "## Two ##\n\nMore.\n", "Still more.\n", "End of two.\n\n## Three\n\nLast.\n", "After.\n"]
    start = 0
    for index, words in enumerate(parts):
        text.append(Chunk(document="d", title="T", index=index, start=start, end=start + len(words), text=words, num_tokens=3))
        start += len(words)
    text.append(Chunk(document="other", title="Other", index=5, start=0, end=5, text="Plain", num_tokens=1))
    assert [heading_of(text, chunk) for chunk in text] == ["Book", "Two", "Two", "Two", "Three", "Other"]
    last = text.get(3)
    assert heading_of(text, part(last, last.end - len("Last.\n"), last.end)) == "Three", "a part stands under a heading of its chunk"
