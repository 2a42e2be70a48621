"""What an exception cuts off in a session, wherever, is called again and comes to what it would have come to; what cannot be is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nrem.consolidation.events import ChunkRead, ChunksEvicted, Event, NightEnded, PassDone, SleepEnded, SleepStarted
from nrem.consolidation.sleep import Sleeper
from nrem.memory.errors import MemoryFolderError, SleepError
from nrem.memory.memory import Memory
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.session import Session
from tests import tiny
from tests.streams import LONG, RULES, Killed, config_for, equal, in_pieces

OTHER = Document.from_text("The ferry to Hallow sank in 1902. " * 20, "other.txt")
WHERE = [
    (ChunkRead, 0),
    (ChunkRead, 3),
    (ChunksEvicted, 0),
    (ChunksEvicted, 2),
    (SleepStarted, 0),
    (PassDone, 0),
    (PassDone, 1),
    (PassDone, 3),
    (SleepEnded, 0),
    (SleepEnded, 1),
    (NightEnded, 0),
]


def dies_once(lived: int, kind: type[Event], error: type[BaseException] = Killed) -> Callable[[Event], None]:
    """Hears so many events of a kind, dies of the next, and of no other."""
    heard = 0

    def listener(event: Event) -> None:
        nonlocal heard
        heard += isinstance(event, kind)
        if isinstance(event, kind) and heard == lived + 1:
            raise error

    return listener


def settings(base: Base, rule: str, folder: Path, *more: str) -> Config:
    return config_for(base, rule, folder, "sleep.allocator=uniform", "sleep.passes=2", "stream.overlap_tokens=32", *more)


def came_to(memory: Memory) -> tuple[object, ...]:
    """All but the weights, and what it cost."""
    chunks = [(c.document, c.index, c.sleep, c.segment, c.passes, c.exit, pytest.approx(c.surprisal)) for c in memory.record.chunks]
    sleeps = [(s.index, s.chunks, s.replayed, s.passes) for s in memory.record.sleeps]
    return memory.record.documents, chunks, sleeps, list(memory.text or ())


@RULES
@pytest.mark.parametrize(("kind", "lived"), WHERE)
def test_a_stream_that_was_cut_off_is_called_again(llama: Base, rule: str, kind: type[Event], lived: int, tmp_path: Path) -> None:
    config = settings(llama, rule, tmp_path)
    whole = consolidate(in_pieces(LONG), base=llama, config=config)
    session = Session(base=llama, config=config, listener=dies_once(lived, kind))
    with pytest.raises(Killed):
        session.stream(in_pieces(LONG))
    memory = session.stream(in_pieces(LONG))
    assert came_to(memory) == came_to(whole)
    assert equal(memory, whole)
    assert equal(Memory.load(memory.save(tmp_path / "m")), Memory.load(whole.save(tmp_path / "whole")))


@pytest.mark.parametrize(("kind", "lived"), [(ChunkRead, 12), (ChunksEvicted, 5), (PassDone, 5), (NightEnded, 0)])
@pytest.mark.parametrize("segment_chunks", [0, 3])
def test_several_documents_are_read_again(llama: Base, kind: type[Event], lived: int, segment_chunks: int, tmp_path: Path) -> None:
    """Those before the one that was cut off too: `read` is one call. A segment of three chunks makes several sleeps of one buffer."""
    config = settings(llama, "keyed", tmp_path, f"fast_weights.segment_chunks={segment_chunks}")
    whole = consolidate(in_pieces(LONG), OTHER, base=llama, config=config)
    session = Session(base=llama, config=config, listener=dies_once(lived, kind))
    with pytest.raises(Killed):
        session.read(in_pieces(LONG), OTHER)
    assert came_to(session.read(in_pieces(LONG), OTHER)) == came_to(whole)
    assert equal(session.memory, whole)


def test_behind_a_document_that_was_read_only_the_cut_one_is_streamed_again(llama: Base, tmp_path: Path) -> None:
    """What the window holds of the first is before the model's eyes again."""
    config = settings(llama, "keyed", tmp_path)
    short = Document.from_text("The mill of Sarn was built in 1790.", "mill.txt")
    whole = consolidate(short, OTHER, base=llama, config=config)
    session = Session(base=llama, config=config, listener=dies_once(1, ChunkRead))
    session.stream(short, finish=False)
    with pytest.raises(Killed):
        session.stream(OTHER)
    assert came_to(session.stream(OTHER)) == came_to(whole)
    assert equal(session.memory, whole)


@RULES
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SleepError])
def test_a_sleep_that_was_cut_off_is_called_again(llama: Base, rule: str, error: type[BaseException], tmp_path: Path) -> None:
    config = settings(llama, rule, tmp_path, "stream.buffer_tokens=4096")
    sessions = [Session(base=llama, config=config, listener=listener) for listener in (lambda event: None, dies_once(1, PassDone, error))]
    for session in sessions:
        session.stream(in_pieces(LONG), finish=False)
    whole, cut = sessions
    waiting = cut.buffer.peek()
    assert len(waiting) > 3
    start = cut.memory.weights.clone()
    with pytest.raises(error):
        cut.sleep()
    assert cut.buffer.peek() == waiting
    assert all(bool((cut.memory.weights.clone()[key] == value).all()) for key, value in start.items()), "nothing of it is written"
    assert [(r.chunks, r.passes) for r in cut.sleep()] == [(r.chunks, r.passes) for r in whole.sleep()]
    assert equal(cut.memory, whole.memory)
    assert len(cut.buffer) == 0


def test_of_several_sleeps_only_what_was_noted_leaves_the_buffer(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings(llama, "keyed", tmp_path, "stream.buffer_tokens=4096", "fast_weights.segment_chunks=2")
    session, sleep, calls = Session(base=llama, config=config), Sleeper.sleep, list[int]()

    def fails_second(self: Sleeper, index: int, *args: Any, **kwargs: Any) -> Any:
        calls.append(index)
        if len(calls) == 2:
            raise MemoryError
        return sleep(self, index, *args, **kwargs)

    monkeypatch.setattr(Sleeper, "sleep", fails_second)
    session.stream(in_pieces(LONG), finish=False)
    waiting = session.buffer.peek()
    with pytest.raises(MemoryError):
        session.sleep()
    assert session.buffer.peek() == waiting[2:]
    session.sleep()
    assert calls[:4] == [0, 1, 1, 2]
    assert [c for s in session.memory.record.sleeps for c in s.chunks] == [c.index for c in waiting]


def test_another_document_than_the_one_that_was_cut_off_is_told_and_changes_nothing(llama: Base, tmp_path: Path) -> None:
    config = settings(llama, "keyed", tmp_path)
    session = Session(base=llama, config=config, listener=dies_once(3, ChunksEvicted))
    with pytest.raises(Killed):
        session.stream(in_pieces(LONG))
    way_out = "give the same document, or begin anew with a new Session, or with the memory as it was saved"
    with pytest.raises(SleepError, match=rf"^other\.txt: is not long\.txt, of which the call that was cut off has read a part; {way_out}$"):
        session.stream(OTHER)
    with pytest.raises(SleepError, match=rf"^long\.txt: chunk 0 differs from the one that the call that was cut off read; {way_out}$"):
        session.stream(in_pieces(LONG.replace("Maren", "Maria")))
    with pytest.raises(SleepError, match=rf"^long\.txt: ends after 4 chunks, but the call that was cut off has read \d; {way_out}$"):
        session.stream(in_pieces(LONG[: session.memory.record.chunks[3].end]))
    assert came_to(session.stream(in_pieces(LONG))) == came_to(consolidate(in_pieces(LONG), base=llama, config=config))


def test_where_nothing_was_kept_another_document_may_come(llama: Base, tmp_path: Path) -> None:
    config = settings(llama, "keyed", tmp_path)
    session = Session(base=llama, config=config, listener=dies_once(1, ChunkRead))
    with pytest.raises(Killed):
        session.stream(in_pieces(LONG))
    assert came_to(session.stream(OTHER)) == came_to(consolidate(OTHER, base=llama, config=config))


def test_what_load_would_refuse_is_not_saved(llama: Base, tmp_path: Path) -> None:
    """A document that was cut off, and one whose end stands in the window still."""
    config = settings(llama, "keyed", tmp_path)
    session = Session(base=llama, config=config, listener=dies_once(3, ChunksEvicted))
    with pytest.raises(Killed):
        session.stream(in_pieces(LONG))
    of = r"of \d+ chunks 0 are of documents that have ended and \d+ have left the window"
    with pytest.raises(SleepError, match=rf"m: not saved, since a document is not read to its end: {of}; give it to Session\.stream again"):
        session.memory.save(tmp_path / "m")
    session.stream(in_pieces(LONG), finish=False)
    with pytest.raises(SleepError, match="m: not saved, since a document is not read to its end"):
        session.memory.save(tmp_path / "m")
    session.stream(OTHER).record.chunks[1].index = 0
    with pytest.raises(MemoryFolderError, match=r"chunks\[1\]\.index is 0, expected 1"):
        session.memory.save(tmp_path / "m")
    assert list(tmp_path.glob("*m*")) == []


@RULES
@pytest.mark.parametrize(("kind", "lived"), [(ChunkRead, 3), (ChunksEvicted, 1), (PassDone, 1), (SleepEnded, 0), (NightEnded, 0)])
def test_an_extension_that_was_cut_off_is_called_again(llama: Base, rule: str, kind: type[Event], lived: int, tmp_path: Path) -> None:
    """Each call is a session of its own."""
    folder = consolidate(Document.from_text(tiny.STORY, "story"), base=llama, config=settings(llama, rule, tmp_path)).save(tmp_path / "m")
    whole = extend(Memory.load(folder), in_pieces(LONG), OTHER, base=llama)
    memory = Memory.load(folder)
    with pytest.raises(Killed):
        extend(memory, in_pieces(LONG), OTHER, base=llama, listener=dies_once(lived, kind))
    extend(memory, in_pieces(LONG), OTHER, base=llama)
    assert came_to(memory) == came_to(whole)
    if rule == "keyed":  # what follows from statistics; moments of an optimiser go with a session
        assert equal(memory, whole)
