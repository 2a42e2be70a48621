"""A session that was cut off, wherever, goes on to what it would have come to, and with the same document, base and configuration only."""

import shutil
from pathlib import Path

import pytest

from nrem.consolidation.events import Event, PassDone, SleepEnded
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import SleepError
from nrem.memory.saved.journal import Journal
from nrem.runtime.models.load import Base
from nrem.runtime.session import resume as unfinished
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny
from tests.streams import EMPTY, LONG, RULES, Killed, config_for, dies_after, equal, in_pieces


@RULES
@pytest.mark.parametrize("passes_lived", [1, 2, 4, 5])
def test_a_killed_session_goes_on_to_the_same_adapter(
    llama: Base, rule: str, passes_lived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    config = config_for(llama, rule, tmp_path, "sleep.allocator=uniform", "sleep.passes=3")
    whole = consolidate(in_pieces(LONG), base=llama, config=config)
    listener = dies_after(passes_lived, PassDone)
    folder = tmp_path / "story.unfinished"
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=listener, journal=Journal.open(folder)).stream(in_pieces(LONG))
    passes: list[Event] = []
    revived = Session(base=llama, config=config, listener=passes.append, journal=Journal.open(folder))
    memory = revived.stream(in_pieces(LONG))
    assert equal(memory, whole)
    assert [(c.passes, c.exit, c.sleep) for c in memory.record.chunks] == [(c.passes, c.exit, c.sleep) for c in whole.record.chunks]
    assert [chunk.text for chunk in memory.text or ()] == [chunk.text for chunk in whole.text or ()]
    total = sum(sleep.passes for sleep in whole.record.sleeps)
    assert sum(isinstance(event, PassDone) for event in passes) == total - passes_lived, "no pass is done again"
    assert memory.record.documents == whole.record.documents
    assert memory.record.fet["passes"] == pytest.approx(whole.record.fet["passes"])


def test_a_killed_session_with_empty_chunks_goes_on(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    config = config_for(llama, "keyed", tmp_path, "sleep.allocator=uniform", "sleep.passes=3")
    text = EMPTY + LONG[:700] + "\n" * 400 + LONG[700:] + EMPTY
    whole = consolidate(in_pieces(text), base=llama, config=config)
    listener = dies_after(4, PassDone)
    folder = tmp_path / "story.unfinished"
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=listener, journal=Journal.open(folder)).stream(in_pieces(text))
    memory = Session(base=llama, config=config, journal=Journal.open(folder)).stream(in_pieces(text))
    assert equal(memory, whole)
    assert [(c.passes, c.exit, c.sleep) for c in memory.record.chunks] == [(c.passes, c.exit, c.sleep) for c in whole.record.chunks]


def test_a_killed_session_refuses_another_document_base_or_configuration(llama: Base, other_llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "gradient", tmp_path)
    listener = dies_after(0, SleepEnded)
    folder = tmp_path / "story.unfinished"
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=listener, journal=Journal.open(folder)).stream(in_pieces(LONG))
    with pytest.raises(SleepError, match=r"long.txt: chunk 0 differs from the one that the unfinished sleep read; give the same document"):
        Session(base=llama, config=config, journal=Journal.open(folder)).stream(in_pieces(LONG.replace("Maren", "Maria")))
    with pytest.raises(SleepError, match=r"the unfinished sleep was on another base model \(weights .*\); start again with --force"):
        Session(base=other_llama, config=config, journal=Journal.open(folder))
    other = config_for(llama, "gradient", tmp_path, "sleep.passes=1")
    with pytest.raises(SleepError, match="the unfinished sleep had another configuration; give the same one"):
        Session(base=llama, config=other, journal=Journal.open(folder))


def test_a_killed_session_refuses_a_protocol_that_was_trained_anew_meanwhile(llama: Base, tmp_path: Path) -> None:
    config, folder = config_for(llama, "keyed", tmp_path), tmp_path / "story.unfinished"
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=dies_after(0, SleepEnded), journal=Journal.open(folder)).stream(in_pieces(LONG))
    shutil.rmtree(tmp_path / "protocol")
    save_protocol(tmp_path / "protocol", tiny.make_protocol(llama, "keyed", seed=1), llama.identity, {})
    with pytest.raises(SleepError, match="the unfinished sleep was with another protocol"):
        Session(base=llama, config=config, journal=Journal.open(folder))
