"""A session: a document larger than the window goes through whole, sleeps, can be cut off anywhere, and answers at any time."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nrem.consolidation.events import ChunkRead, ChunksEvicted, Event, SleepEnded, SleepStarted, ignore
from nrem.memory.errors import BaseMismatchError, BudgetError, DocumentError, SleepError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.models.load import Base
from nrem.runtime.parts import config_of
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny
from tests.streams import EMPTY, LONG, RULES, config_for, in_pieces


@RULES
def test_a_document_larger_than_the_window_goes_through_whole(base: Base, rule: str, tmp_path: Path) -> None:
    events: list[Event] = []
    widths: list[int] = []

    def listener(event: Event) -> None:
        events.append(event)
        widths.append(session.window.num_tokens)

    session = Session(base=base, config=config_for(base, rule, tmp_path), listener=listener)
    memory = session.stream(in_pieces(LONG))
    assert base.count_tokens(LONG) > 4 * session.config.stream.window_tokens
    assert max(widths) <= session.config.stream.window_tokens
    assert memory.text is not None
    chunks = list(memory.text)
    assert "".join(chunk.text for chunk in chunks) == LONG
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    (document,) = memory.record.documents
    assert document.sha256 == hashlib.sha256(LONG.encode()).hexdigest()
    assert (document.num_characters, document.num_chunks) == (len(LONG), len(chunks))
    assert document.num_tokens == sum(chunk.num_tokens for chunk in chunks)
    assert len(memory.record.sleeps) > 1
    assert sorted(i for sleep in memory.record.sleeps for i in sleep.chunks) == list(range(len(chunks)))
    assert all(record.sleep >= 0 and record.passes > 0 and record.surprisal > 0 for record in memory.record.chunks)
    assert [event.chunk for event in events if isinstance(event, ChunkRead)] == chunks
    assert [chunk for event in events if isinstance(event, ChunksEvicted) for chunk in event.chunks] == chunks
    assert [type(e) for e in events if isinstance(e, SleepStarted | SleepEnded)] == [SleepStarted, SleepEnded] * len(memory.record.sleeps)
    assert sum(memory.record.fet.values()) > 0
    assert memory.record.canary["question"]


def test_the_window_is_no_longer_than_a_model_can_read(tmp_path: Path) -> None:
    """GPT-2 has learned so many positions and no more."""
    base = tiny.make_base("gpt2")
    words = Document.from_text(" ".join(f"word{n}" for n in range(base.max_positions)))
    settings = (f"stream.window_tokens={4 * base.max_positions}", "stream.chunk_tokens=64", "stream.overlap_tokens=200", "sleep.passes=0")
    session = Session(base=base, config=config_for(base, "gradient", tmp_path, *settings))
    assert session.window.config.window_tokens == base.max_positions - 1
    session.stream(words)
    large = f"stream.chunk_tokens={base.max_positions}"
    with pytest.raises(UsageError, match=rf"stream.chunk_tokens: got {base.max_positions}, expected at most {base.max_positions - 1}"):
        Session(base=base, config=config_for(base, "gradient", tmp_path, settings[0], large))


@torch.no_grad()
def test_surprisals_are_those_of_the_model(base: Base, tmp_path: Path) -> None:
    session = Session(base=base, config=config_for(base, "gradient", tmp_path, "sleep.passes=0"))
    memory = session.stream(Document.from_text(tiny.STORY[:200]), finish=False)
    ids = torch.tensor([[256, *base.tokenizer(tiny.STORY[:200], add_special_tokens=False).input_ids]])  # 256 begins a sequence
    losses = -base.model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    first = memory.record.chunks[0]
    assert first.surprisal == pytest.approx(float(losses[: first.num_tokens].mean()), rel=1e-3)
    second = memory.record.chunks[1]
    assert second.surprisal == pytest.approx(float(losses[first.num_tokens :][: second.num_tokens].mean()), rel=1e-3)


@pytest.mark.parametrize("overlap", [0, 64])
def test_every_window_begins_with_the_start_token(llama: Base, tmp_path: Path, overlap: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_for(llama, "gradient", tmp_path, "sleep.passes=0", f"stream.overlap_tokens={overlap}")
    session = Session(base=llama, config=config)
    read: list[list[int]] = []
    cleared = [0]
    forward, evict = llama.model.forward, session._evict

    def watched(*args: Any, **kwargs: Any) -> Any:
        read.append(kwargs["input_ids"][0].tolist())
        return forward(*args, **kwargs)

    def marked(chunks: Sequence[Chunk]) -> None:
        evict(chunks)
        cleared.append(len(read))

    monkeypatch.setattr(llama.model, "forward", watched)
    monkeypatch.setattr(session, "_evict", marked)
    monkeypatch.setattr(session, "sleep", lambda: session.buffer.drain())
    session.stream(in_pieces(LONG), finish=False)
    assert len(cleared) > 3
    assert [number for number, ids in enumerate(read) if ids[0] == 256] == cleared
    assert all(256 not in ids[1:] for ids in read)
    assert all(chunk.surprisal > 0 for chunk in session.memory.record.chunks)


@RULES
def test_chunks_that_say_nothing_are_kept_and_not_slept_on(llama: Base, rule: str, tmp_path: Path) -> None:
    text = EMPTY + tiny.STORY + "\n" * 400 + tiny.STORY.replace("1871", "1902") + "\n\n" + EMPTY
    events: list[Event] = []
    config = config_for(llama, rule, tmp_path, "fast_weights.segment_chunks=3")
    memory = consolidate(in_pieces(text), base=llama, config=config, listener=events.append)
    assert "".join(chunk.text for chunk in memory.text or ()) == text
    empty = {chunk.index for chunk in memory.text or () if chunk.says_nothing}
    assert len(empty) >= 6
    assert 0 in empty
    for record in memory.record.chunks:
        assert (record.exit == "empty") == (record.index in empty) == (record.sleep < 0) == (record.num_probes == 0)
        assert record.surprisal > 0, "they are read"
    assert all(record.passes == 0 for record in memory.record.chunks if record.index in empty)
    slept = [index for sleep in memory.record.sleeps for index in sleep.chunks]
    assert sorted(slept) == sorted(set(range(len(memory.record.chunks))) - empty)
    loaded = Memory.load(memory.save(tmp_path / "saved"))
    extended = Session(loaded, base=llama).stream(Document.from_text("The ferry to Hallow sank in 1902. " * 4 + EMPTY, name="more"))
    assert {c.exit for c in extended.record.chunks if c.index in empty} == {"empty"}
    assert extended.record.chunks[-1].exit == "empty"


def test_a_document_of_nothing_but_such_chunks_ends_cleanly(llama: Base, tmp_path: Path) -> None:
    memory = consolidate(in_pieces("." * 600 + "-" * 600 + "a" * 600), base=llama, config=config_for(llama, "keyed", tmp_path))
    assert {chunk.exit for chunk in memory.record.chunks} == {"empty"}
    assert memory.record.sleeps == []
    loaded = Memory.load(memory.save(tmp_path / "saved"))
    assert Session(loaded, base=llama).answer("Who kept the lamp?", "direct").answer is not None


@pytest.mark.parametrize("overlap", [0, 64])
def test_overlap_is_read_again_and_evicted_once(llama: Base, tmp_path: Path, overlap: int) -> None:
    config = config_for(llama, "gradient", tmp_path, "sleep.passes=0", f"stream.overlap_tokens={overlap}")
    memory = consolidate(in_pieces(LONG), base=llama, config=config)
    assert "".join(chunk.text for chunk in memory.text or ()) == LONG


def test_a_question_in_mid_stream_sees_the_live_window(llama: Base, tmp_path: Path) -> None:
    session = Session(base=llama, config=config_for(llama, "gradient", tmp_path))
    session.stream(in_pieces(LONG), finish=False)
    assert session.window.text
    answer = session.answer("Who kept the lamp?")
    assert answer.document_tokens > 0
    assert answer.prompt_tokens > answer.document_tokens
    closed = Session(session.stream(in_pieces(tiny.STORY)), base=llama).answer("Who kept the lamp?", "direct")
    assert closed.document_tokens == 0


def test_a_memory_answers_the_same_from_disk(llama: Base, tmp_path: Path) -> None:
    memory = consolidate(in_pieces(LONG), base=llama, config=config_for(llama, "keyed", tmp_path))
    questions = ["Who kept the lamp?", "When did the harbour freeze?"]
    before = [answer.answer for answer in Session(memory, base=llama).answers(questions)]
    loaded = Memory.load(memory.save(tmp_path / "story"))
    length = f"answer.max_new_tokens={memory.record.config['answer']['max_new_tokens']}"  # which the user decides
    session = Session(loaded, base=llama, config=config_of(loaded, [length], base_given=True))
    assert [answer.answer for answer in session.answers(questions)] == before
    session = Session(loaded, base=llama)
    assert session.answer(loaded.record.canary["question"], "direct").answer == loaded.record.canary["answer"]


@RULES
def test_a_memory_can_be_read_on(llama: Base, rule: str, tmp_path: Path) -> None:
    config = config_for(llama, rule, tmp_path)
    folder = consolidate(in_pieces(tiny.STORY), base=llama, config=config).save(tmp_path / "story")
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    memory = Session(Memory.load(folder), base=llama).stream(Document.from_text("The ferry to Hallow sank in 1902. " * 4, name="more"))
    assert [document.name for document in memory.record.documents] == ["long.txt", "more"]
    assert "".join(c.text for c in memory.text or () if c.document == "more") == "The ferry to Hallow sank in 1902. " * 4
    assert [chunk.index for chunk in memory.text or ()] == list(range(memory.record.num_chunks))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files, "the saved one is untouched"


def test_segments_hold_what_they_are_given_and_questions_find_theirs(llama: Base, tmp_path: Path) -> None:
    text = "".join(f"The ferry Tern{i}ora reached Port{i}wick with {i * 7} barrels of salted Fish{i}el. " for i in range(20))
    config = config_for(llama, "keyed", tmp_path, "fast_weights.segment_chunks=4")
    memory = consolidate(in_pieces(text), base=llama, config=config)
    sizes = [sum(c.segment == s for c in memory.record.chunks) for s in range(len(memory.segments))]
    assert len(sizes) > 1
    assert max(sizes) <= 4
    assert sum(sizes) == len(memory.record.chunks)
    loaded = Memory.load(memory.save(tmp_path / "story"))
    assert len(loaded.segments) == len(sizes)
    for chunk in loaded.text or ():
        assert loaded.record.chunks[chunk.index].segment == loaded.route(chunk.text).segment
    one = consolidate(in_pieces(LONG), base=llama, config=config_for(llama, "keyed", tmp_path, "fast_weights.segment_chunks=0"))
    assert len(one.segments) == 1


@RULES
@pytest.mark.parametrize("budget", [3000, 6000])
def test_a_budget_holds_over_all_sleeps(llama: Base, rule: str, budget: int, tmp_path: Path) -> None:
    config = config_for(llama, rule, tmp_path, f"sleep.budget_fet={budget}", "sleep.passes=8", "sleep.allocator=uniform")
    memory = consolidate(in_pieces(LONG), base=llama, config=config)
    assert sum(memory.record.fet.values()) <= budget
    assert "budget" in {chunk.exit for chunk in memory.record.chunks}
    assert "".join(chunk.text for chunk in memory.text or ()) == LONG, "what could not be paid for is kept as text"


def test_a_budget_that_cannot_pay_for_reading_is_told(llama: Base, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"budget: reading needs \d+ FET, .* are left: raise the budget"):
        consolidate(in_pieces(LONG), base=llama, config=config_for(llama, "gradient", tmp_path, "sleep.budget_fet=150"))


def test_wrong_use_is_told(llama: Base, other_llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "gradient", tmp_path)
    session = Session(base=llama, config=config)
    with pytest.raises(SleepError, match="sleep: the buffer is empty, nothing was evicted yet; stream a document first"):
        session.sleep()
    with pytest.raises(UsageError, match="question: got an empty one; ask something"):
        session.answer("  ")
    with pytest.raises(UsageError, match="documents: got none; give at least one"):
        consolidate(base=llama, config=config)
    with pytest.raises(DocumentError, match="text: the document is empty"):
        session.stream(Document.from_text(""))
    (tmp_path / "bad.txt").write_bytes("é".encode() + b"\xff")
    with pytest.raises(DocumentError, match=r"bad\.txt: not UTF-8 text near byte 2"):
        consolidate(tmp_path / "bad.txt", base="no such model: the document is looked at first")
    memory = consolidate(Document.from_text(tiny.STORY), base=llama, config=config)
    with pytest.raises(BaseMismatchError, match="load the first model, or sleep again with this one"):
        Session(memory, base=other_llama)


def test_nothing_is_left_behind(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without a journal keeps its evicted text in a folder of its own, which goes with the memory."""
    import gc
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = tiny.make_config("guard.enabled=false")
    memory = Session(base=llama, config=config, listener=ignore).stream(Document.from_text(tiny.STORY))
    assert isinstance(memory.text, EvictedText)
    assert len(list(tmp_path.iterdir())) == 1
    weights: dict[str, Tensor] = memory.weights.clone()
    assert weights
    del memory
    gc.collect()
    assert list(tmp_path.iterdir()) == []
