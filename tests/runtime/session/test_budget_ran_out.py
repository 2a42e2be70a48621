"""A budget that runs out leaves text, not adapters that hold nothing: on disk, in the record, and in one sentence."""

from pathlib import Path

import pytest
import torch

from nrem.consolidation.events import Event, NightEnded, PassDone, SleepEnded
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.memory.saved.files import STATISTICS
from nrem.memory.saved.journal import Journal
from nrem.runtime.commands.progress import ProgressBar
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.text import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.session import Session
from nrem.runtime.show.memory import memory_report, summary
from nrem.runtime.show.night import over_budget
from tests import tiny

TEXT = "".join(f"The ferry Tern{i}ora reached Port{i}wick with {i * 7} barrels of salted Fish{i}el. " for i in range(60))


def config_for(base: Base, folder: Path, *settings: str) -> Config:
    protocol = save_protocol(folder / "protocol", tiny.make_keyed_protocol(base), base.identity, {})
    small = ("fast_weights.segment_chunks=4", "guard.enabled=false", "sleep.passes=2", "sleep.allocator=uniform", "probes.share=0.1")
    return tiny.make_config(*small, f"protocol.name={protocol}", *settings)


def document() -> Document:
    return Document.from_text(TEXT, "ferries.txt", "Ferries")


@pytest.fixture
def free(llama: Base, tmp_path: Path) -> Memory:
    return consolidate(document(), base=llama, config=config_for(llama, tmp_path / "free"))


def test_what_is_written_is_saved_and_nothing_else(llama: Base, tmp_path: Path, free: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    spent = sum(free.record.fet.values())
    config, events = config_for(llama, tmp_path, f"sleep.budget_fet={spent / 3:.0f}"), list[Event]()
    memory = consolidate(document(), base=llama, config=config, listener=events.append)
    folder = memory.save(tmp_path / "m")
    loaded, written = Memory.load(folder), [c for c in memory.record.chunks if c.passes]
    assert 0 < len(written) < len(memory.record.chunks)
    assert len(loaded.segments) == len({c.segment for c in written}) < len(free.segments)
    assert {path.name for path in folder.glob("segment-*")} == {f"segment-{i:04d}" for i in range(1, len(loaded.segments))}
    assert all(segment.written is not None and segment.written.chunks for segment in loaded.segments)
    assert "".join(chunk.text for chunk in loaded.text or ()) == TEXT
    first_left = next(c for c in memory.record.chunks if not c.passes)
    assert loaded.text is not None
    asked = Session(loaded, base=llama).answer(loaded.text.get(first_left.index).text[:60], "search")
    assert asked.leans_on[0]["chunk"] == first_left.index
    sentence = over_budget(memory.record)
    assert sentence.startswith(f"the budget ran out ({spent / 3:,.0f} FET): {len(written)} of {len(memory.record.chunks)} chunks (")
    assert "are kept as text only, which search finds; a larger --budget writes more" in sentence
    assert summary(memory.record, folder)["chunks_written"] == len(written)
    assert isinstance(events[-1], NightEnded)

    capsys.readouterr()
    memory_report(loaded.record, folder)
    shown = capsys.readouterr().out
    assert " ".join(sentence.split()) in " ".join(shown.split())
    assert shown.count("the budget ran out") == 2, "in the sentence, and once in the table of sleeps"
    progress = ProgressBar()
    for event in events:
        progress(event)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [lines[0], sentence]
    assert f"wrote {len(written)} of {len(memory.record.chunks)} chunks" in lines[0]


def test_where_nothing_is_written_there_is_one_adapter_that_changes_nothing(llama: Base, tmp_path: Path) -> None:
    events: list[Event] = []
    config = config_for(llama, tmp_path, "sleep.budget_seconds=0.000001")
    memory = consolidate(document(), base=llama, config=config, listener=events.append)
    assert not any(isinstance(event, PassDone) for event in events)
    folder = memory.save(tmp_path / "m")
    assert not list(folder.glob("segment-*"))
    assert not (folder / STATISTICS).exists()
    loaded = Memory.load(folder)
    assert len(loaded.segments) == 1
    assert {c.exit for c in loaded.record.chunks} == {"budget"}
    assert Session(loaded, base=llama).answer("Which port did the ferry reach?", "search").leans_on
    assert over_budget(loaded.record).startswith("the budget ran out (1e-06 s): 0 of ")
    assert over_budget(memory.record) == over_budget(loaded.record)


def test_a_memory_that_ran_out_can_be_read_on(llama: Base, tmp_path: Path, free: Memory) -> None:
    """What comes later is written into the segments where it belongs, and found there."""
    config = config_for(llama, tmp_path, f"sleep.budget_fet={sum(free.record.fet.values()) / 3:.0f}")
    memory = Memory.load(consolidate(document(), base=llama, config=config).save(tmp_path / "m"))
    count, segments = len(memory.record.chunks), len(memory.segments)
    grown = extend(memory, Document.from_text("Captain Orla Bix sank near Hallow in 1902. " * 6, "more"), base=llama)
    new = grown.record.chunks[count:]
    assert new
    assert {c.segment for c in new} == {segments}
    assert all(c.passes for c in new)
    again = Memory.load(grown.save(tmp_path / "grown"))
    assert len(again.segments) == segments + 1
    assert again.route("Captain Orla Bix").segment == segments


def test_a_document_that_was_paid_for_has_no_such_sentence(free: Memory) -> None:
    assert over_budget(free.record) == ""
    assert summary(free.record, None)["chunks_written"] == len(free.record.chunks)


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def test_a_run_that_was_killed_where_the_budget_had_run_out_ends_the_same(llama: Base, tmp_path: Path, free: Memory) -> None:
    config = config_for(llama, tmp_path, f"sleep.budget_fet={sum(free.record.fet.values()) / 3:.0f}")
    whole = consolidate(document(), base=llama, config=config)
    last = len(whole.record.sleeps) - 1

    def kill(event: Event) -> None:
        if isinstance(event, SleepEnded) and event.record.index == last - 1:
            raise Killed

    with pytest.raises(Killed):
        Session(base=llama, config=config, journal=Journal.open(tmp_path / "j"), listener=kill).stream(document())
    again = Session(base=llama, config=config, journal=Journal.open(tmp_path / "j")).stream(document())
    assert [(c.passes, c.exit, c.segment, c.sleep) for c in again.record.chunks] == [
        (c.passes, c.exit, c.segment, c.sleep) for c in whole.record.chunks
    ]
    mine, theirs = Memory.load(again.save(tmp_path / "again")), Memory.load(whole.save(tmp_path / "whole"))
    pairs = zip(mine.segments, theirs.segments, strict=True)
    assert all(torch.equal(t, b.weights.tensors()[k]) for a, b in pairs for k, t in a.weights.tensors().items())
