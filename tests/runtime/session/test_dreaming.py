"""Sessions dream about each chunk once, as it leaves the window, and not at all where no pass would read it or a budget counts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.events import ChunkDreamt, ChunkRead, ChunksEvicted, Event, PassDone, SleepEnded, ignore
from nrem.consolidation.protocol.asker_file import save_asker
from nrem.consolidation.protocol.folder import load_protocol, save_protocol
from nrem.memory.errors import SleepError
from nrem.memory.memory import Memory
from nrem.memory.saved.journal import Journal
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session import eviction
from nrem.runtime.session import resume as unfinished
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.rewrite import forget, merge
from nrem.runtime.session.session import Session
from tests import tiny
from tests.dreaming import counts_of, dreams_of, make_asker, understand
from tests.streams import Killed, dies_after
from tests.written import change, difference

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
NOTHING = "." * 300 + "\n\n"
ALL = ("dreams.most_doubt=1000",)
TOLERANCE = 0.02
"""Of what memories write, relative: in another batch an entry may differ in its last bits, and files keep bfloat16."""
MAKERS = {"ridge": tiny.make_ridge_protocol, "keyed": tiny.make_keyed_protocol}


@pytest.fixture(scope="module")
def protocols(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By rule, each with an asker; and one that nobody made an asker for."""
    folder, found = tmp_path_factory.mktemp("protocols"), {}
    for name, make in MAKERS.items():
        found[name] = save_protocol(folder / name, make(llama), llama.identity, {})
        save_asker(found[name], make_asker(make(llama), scale=1.0), llama.identity, {})
    found["no asker"] = save_protocol(folder / "plain", tiny.make_ridge_protocol(llama), llama.identity, {})
    return found


@pytest.fixture(autouse=True)
def dreamt_about(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the chunks that were dreamt about, in order; whatever a tiny model says is taken for a question."""
    found: list[str] = []
    dream = Dreamer.dream

    def watched(self: Dreamer, chunks: Sequence[Chunk]) -> list[Chunk]:
        found.extend(chunk.text for chunk in chunks)
        return dream(self, chunks)

    understand(monkeypatch)
    monkeypatch.setattr(Dreamer, "dream", watched)
    return found


def config_for(protocol: Path, *settings: str) -> Config:
    made = (f"protocol.name={protocol}", "guard.enabled=false", "sleep.allocator=uniform", "sleep.passes=2", *ALL)
    return tiny.make_config(*made, "dreams.per_sentence=1", *settings)


def sleep_on(base: Base, config: Config, *texts: str) -> Memory:
    return consolidate(*(Document.from_text(text, f"document {n}") for n, text in enumerate(texts)), base=base, config=config)


def test_each_chunk_is_dreamt_about_once_and_keeps_it(
    llama: Base, protocols: dict[str, Path], tmp_path: Path, dreamt_about: list[str]
) -> None:
    events: list[Event] = []
    document = Document.from_text(tiny.STORY)
    memory = consolidate(document, base=llama, config=config_for(protocols["ridge"]), listener=events.append)
    assert memory.text is not None
    chunks = list(memory.text)
    assert dreamt_about == [chunk.text for chunk in chunks]
    assert all(chunk.dreamt for chunk in chunks)
    assert counts_of(memory) == [len(chunk.dreamt) for chunk in chunks]
    assert [event.chunk for event in events if isinstance(event, ChunkDreamt)] == chunks
    assert memory.record.fet["dreams"] > 0
    assert memory.record.seconds["dreams"] > 0
    loaded = Memory.load(memory.save(tmp_path / "m"))
    assert dreams_of(loaded) == dreams_of(memory)
    assert loaded.record.fet == memory.record.fet
    session = Session(loaded, base=llama)
    session.answer("Who kept the lamp?")
    assert len(dreamt_about) == len(chunks), "answering dreams of nothing"


def test_of_a_large_window_a_few_chunks_at_a_time_are_dreamt_about(
    llama: Base, protocols: dict[str, Path], dreamt_about: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was dreamt of some is on disk before others are dreamt about; the window is evicted once."""
    written: list[int] = []
    append = EvictedText.append

    def watched(self: EvictedText, chunk: Chunk) -> None:
        written.append(len(dreamt_about))
        append(self, chunk)

    monkeypatch.setattr(EvictedText, "append", watched)
    monkeypatch.setattr(eviction, "TEXTS", 3)
    events: list[Event] = []
    config = config_for(protocols["ridge"], "stream.window_tokens=4096")
    consolidate(Document.from_text(tiny.STORY * 3), base=llama, config=config, listener=events.append)
    assert len(written) > 6
    assert written == [min(3 * (i // 3 + 1), len(written)) for i in range(len(written))]
    assert sum(isinstance(event, ChunksEvicted) for event in events) == 1


def test_dreams_are_those_of_the_dreamer_and_are_slept_on(llama: Base, protocols: dict[str, Path]) -> None:
    config = config_for(protocols["ridge"])
    memory = sleep_on(llama, config, tiny.STORY)
    again = sleep_on(llama, config, tiny.STORY)
    assert dreams_of(again) == dreams_of(memory)
    assert all(torch.equal(t, change(memory)[name]) for name, t in change(again).items())
    plain = sleep_on(llama, config_for(protocols["ridge"], "dreams.per_sentence=0"), tiny.STORY)
    assert difference(memory, plain) > 2 * TOLERANCE
    sampled = [config_for(protocols["ridge"], "dreams.per_sentence=2", f"seed={seed}") for seed in (0, 1)]
    first, second = (dreams_of(sleep_on(llama, c, tiny.STORY)) for c in sampled)
    assert first != second
    likeliest = [set(dreamt) for dreamt in dreams_of(memory)]
    assert all(mine <= {*a} & {*b} for mine, a, b in zip(likeliest, first, second, strict=True)), "the likeliest are the same"


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("ridge", ("dreams.per_sentence=0",)),
        ("ridge", ("sleep.passes=0",)),
        ("ridge", ("sleep.budget_fet=100000",)),
        ("ridge", ("sleep.budget_seconds=1000",)),
        ("no asker", ()),
        ("keyed", ()),
        ("untrained", ()),
    ],
    ids=str,
)
def test_where_no_pass_would_read_them_or_a_budget_counts_there_are_none(
    llama: Base, protocols: dict[str, Path], protocol: str, settings: Sequence[str], dreamt_about: list[str]
) -> None:
    memory = sleep_on(llama, config_for(protocols.get(protocol, Path(protocol)), *settings), tiny.STORY)
    assert dreamt_about == []
    assert set(dreams_of(memory)) == {()}
    assert set(counts_of(memory)) == {0}
    assert "dreams" not in memory.record.fet


def test_a_chunk_that_says_nothing_is_not_dreamt_about(llama: Base, protocols: dict[str, Path], dreamt_about: list[str]) -> None:
    memory = sleep_on(llama, config_for(protocols["ridge"]), NOTHING + tiny.STORY + "\n" * 400 + NOTHING)
    chunks = list(memory.text or ())
    assert any(chunk.says_nothing for chunk in chunks)
    assert dreamt_about == [chunk.text for chunk in chunks if not chunk.says_nothing]
    assert all(not chunk.dreamt for chunk in chunks if chunk.says_nothing)


def test_a_chunk_of_which_the_reader_doubts_everything_has_none(llama: Base, protocols: dict[str, Path]) -> None:
    memory = sleep_on(llama, config_for(protocols["ridge"], "dreams.most_doubt=0"), tiny.STORY)
    assert set(dreams_of(memory)) == {()}
    assert memory.record.fet["dreams"] > 0
    plain = sleep_on(llama, config_for(protocols["ridge"], "dreams.per_sentence=0"), tiny.STORY)
    assert difference(memory, plain) == 0


@pytest.mark.parametrize(
    ("dies_at", "lived"),
    [(PassDone, 1), (PassDone, 3), (PassDone, 4), (SleepEnded, 0), (SleepEnded, 1), (ChunkDreamt, 1), (ChunkDreamt, 6)],
)
def test_a_killed_run_goes_on_to_the_same_dreams_and_adapter(
    llama: Base,
    protocols: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dreamt_about: list[str],
    dies_at: type[Event],
    lived: int,
) -> None:
    """What a checkpoint has as text is recognised and not dreamt about again."""
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    config = config_for(protocols["ridge"], "sleep.passes=3", "dreams.per_sentence=2")
    text = tiny.STORY + "\n\n" + OTHER + "\n\n" + tiny.STORY.replace("1871", "1902")
    whole = sleep_on(llama, config, text)
    listener = dies_after(lived, dies_at)
    folder, document = tmp_path / "m.unfinished", Document.from_text(text, "document 0")
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=listener, journal=Journal.open(folder)).stream(document)
    latest = Journal.open(folder).latest()
    kept = latest[0]["evicted"] if latest else 0
    dreamt_about.clear()
    memory = Session(base=llama, config=config, journal=Journal.open(folder)).stream(document)
    assert dreamt_about == [chunk.text for chunk in list(memory.text or ())[kept:]]
    assert dreams_of(memory) == dreams_of(whole)
    assert counts_of(memory) == counts_of(whole)
    assert all(torch.equal(t, change(whole)[name]) for name, t in change(memory).items())
    assert memory.record.fet["dreams"] == pytest.approx(whole.record.fet["dreams"])


def test_a_killed_run_still_refuses_another_document(llama: Base, protocols: dict[str, Path], tmp_path: Path) -> None:
    config, folder = config_for(protocols["ridge"]), tmp_path / "m.unfinished"
    text = tiny.STORY + "\n\n" + tiny.STORY
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=dies_after(0, SleepEnded), journal=Journal.open(folder)).stream(
            Document.from_text(text, "d")
        )
    with pytest.raises(SleepError, match="d: chunk 0 differs from the one that the unfinished sleep read; give the same document"):
        Session(base=llama, config=config, listener=ignore, journal=Journal.open(folder)).stream(
            Document.from_text(text.replace("Maren", "Maria"), "d")
        )


@pytest.mark.parametrize("passes", [1, 3])
def test_forgetting_a_chunk_equals_a_memory_made_without_it(
    llama: Base, protocols: dict[str, Path], passes: int, dreamt_about: list[str]
) -> None:
    config = config_for(protocols["ridge"], f"sleep.passes={passes}")
    alone, other, both = (sleep_on(llama, config, *texts) for texts in ((tiny.STORY,), (OTHER,), (tiny.STORY, OTHER)))
    count = len(alone.record.chunks)
    dreamt_about.clear()
    left = forget(both, range(count, len(both.record.chunks)), base=llama)
    merged = merge(alone, other, base=llama)
    assert dreamt_about == [], "dreams are kept, not made again"
    assert difference(left, alone) < TOLERANCE
    assert difference(merged, both) < TOLERANCE
    assert dreams_of(left) == dreams_of(alone)
    assert dreams_of(merged) == dreams_of(both)
    assert difference(alone, both) > 5 * TOLERANCE


def test_extended_equals_slept_on_together(llama: Base, protocols: dict[str, Path], tmp_path: Path, dreamt_about: list[str]) -> None:
    config = config_for(protocols["ridge"])
    both = sleep_on(llama, config, tiny.STORY, OTHER)
    folder = sleep_on(llama, config, tiny.STORY).save(tmp_path / "m")
    dreamt_about.clear()
    longer = extend(Memory.load(folder), Document.from_text(OTHER, "document 1"), base=llama)
    assert "".join(dreamt_about) == OTHER, "the old chunks have theirs"
    assert dreams_of(longer) == dreams_of(both)
    assert difference(longer, both) < TOLERANCE
    plain = Session(Memory.load(folder), base=llama, config=config_for(protocols["no asker"])).read(Document.from_text(OTHER, "document 1"))
    assert dreams_of(plain)[: len(dreams_of(Memory.load(folder)))] == dreams_of(Memory.load(folder)), "read again without an asker"
    assert difference(plain, both) > TOLERANCE


@pytest.mark.parametrize("settings", [("dreams.per_sentence=0",), ("dreams.per_sentence=2", "dreams.temperature=3")], ids=str)
def test_a_memory_goes_on_to_dream_as_it_did(llama: Base, protocols: dict[str, Path], tmp_path: Path, settings: tuple[str, ...]) -> None:
    config = config_for(protocols["ridge"], *settings)
    folder = sleep_on(llama, config, tiny.STORY).save(tmp_path / "m")
    longer = extend(Memory.load(folder), Document.from_text(OTHER, "document 1"), base=llama)
    assert dreams_of(longer) == dreams_of(sleep_on(llama, config, tiny.STORY, OTHER))


def test_the_saved_protocol_loads_with_its_asker(llama: Base, protocols: dict[str, Path]) -> None:
    """Guards the tests above: a memory may go on without an asker, since a protocol's hash leaves it out."""
    loaded = {name: load_protocol(path, llama.tokenizer, llama.identity, torch.device("cpu")) for name, path in protocols.items()}
    assert {name: protocol.asker is not None for name, protocol in loaded.items()} == {"ridge": True, "keyed": True, "no asker": False}
    assert loaded["ridge"].sha256 == replace(loaded["ridge"], asker=None).sha256 == loaded["no asker"].sha256


@pytest.mark.parametrize(("lived", "kept"), [(0, 0), (1, 0), (2, 2), (5, 4), (8, 8)])
def test_a_run_that_was_killed_while_it_dreamt_loses_the_last_few_chunks_only(
    llama: Base,
    protocols: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dreamt_about: list[str],
    lived: int,
    kept: int,
) -> None:
    """All of a large window is read by then, and no chunk of it is read again."""
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(eviction, "TEXTS", 2)
    config = config_for(protocols["ridge"], "stream.window_tokens=1024", "stream.overlap_tokens=64")
    document, folder, events = Document.from_text(tiny.STORY * 4, "d"), tmp_path / "m.unfinished", list[Event]()
    whole = consolidate(document, base=llama, config=config)
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=dies_after(lived, ChunkDreamt), journal=Journal.open(folder)).stream(document)
    dreamt_about.clear()
    memory = Session(base=llama, config=config, listener=events.append, journal=Journal.open(folder)).stream(document)
    assert dreamt_about == [chunk.text for chunk in list(whole.text or ())[kept:]]
    if kept:
        read = [event.chunk.index for event in events if isinstance(event, ChunkRead)]
        assert min(read) > kept, "what was read is not read again, though not all of it was dreamt about"
    assert dreams_of(memory) == dreams_of(whole)
    assert memory.record.chunks == whole.record.chunks
    assert [(s.chunks, s.passes) for s in memory.record.sleeps] == [(s.chunks, s.passes) for s in whole.record.sleeps]
    assert all(torch.equal(t, change(whole)[name]) for name, t in change(memory).items())
    assert memory.record.fet == pytest.approx(whole.record.fet)
