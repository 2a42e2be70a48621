"""Levels: what one deep sleep leaves at a level is what a run of its own to that level gives: weights, statistics, guard, and price."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nrem.consolidation.events import Event, PassDone, SleepEnded, ignore
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.memory.saved.journal import Journal
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.tune.nights import Night, level_folder, sleep_at_levels
from tests import tiny

STORIES = [
    Document.from_text(tiny.STORY, "story", "Orrin"),
    Document.from_text(tiny.STORY.replace("Maren Tull", "Ada Wick").replace("1858", "1902"), "second", "Orrin again"),
]
NIGHTS = {
    "one sleep": ("stream.buffer_tokens=100000", "stream.window_tokens=256"),
    "several sleeps": ("fast_weights.segment_chunks=0",),
    "several segments": ("fast_weights.segment_chunks=2",),
}


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def make_config(base: Base, folder: Path, rule: str, *settings: str) -> Config:
    trained: tuple[str, ...] = ()
    if rule == "keyed":
        trained = (f"protocol.name={save_protocol(folder / 'protocol', tiny.make_keyed_protocol(base), base.identity, {})}",)
    return tiny.make_config("guard.max_kl=100", "guard.max_perplexity_ratio=1e9", "guard.min_recall_gain=-1", *trained, *settings)


def of_its_own(base: Base, config: Config, level: int) -> Memory:
    """The memory of an ordinary run."""
    return consolidate(*STORIES, base=base, passes=level, config=config)


def same(one: Memory, other: Memory) -> bool:
    pairs = zip(one.segments, other.segments, strict=True)
    return all(torch.equal(t, b.weights.tensors()[k]) for a, b in pairs for k, t in a.weights.tensors().items())


@pytest.fixture(params=["gradient", "keyed"])
def rule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("night", NIGHTS)
def test_a_level_is_what_its_own_run_gives(llama: Base, tmp_path: Path, rule: str, night: str) -> None:
    config = make_config(llama, tmp_path, rule, *NIGHTS[night])
    sleep_at_levels(llama, config, STORIES, (1, 2, 4), work=tmp_path / "work", out=tmp_path / "out", listener=ignore)
    found = {level: Memory.load(level_folder(tmp_path / "out", level)) for level in (1, 2, 4)}
    assert len(found[4].record.sleeps) == 1 or night != "one sleep"
    assert not (tmp_path / "work").exists()
    for level, memory in found.items():
        own = of_its_own(llama, config, level)
        assert same(memory, own)
        assert memory.record.fet == pytest.approx(own.record.fet)
        assert memory.record.seconds.keys() == own.record.seconds.keys()
        assert [(s.passes, s.kept, s.recall_after) for s in memory.record.sleeps] == [
            (s.passes, s.kept, pytest.approx(s.recall_after)) for s in own.record.sleeps
        ]
        assert [(c.passes, c.recall_after) for c in memory.record.chunks] == [(c.passes, c.recall_after) for c in own.record.chunks]
        for mine, theirs in zip(memory.segments, own.segments, strict=True):
            assert (mine.written.chunks.keys() if mine.written else None) == (theirs.written.chunks.keys() if theirs.written else None)
    assert not same(found[1], found[2])
    assert not same(found[2], found[4])


def test_one_run_serves_all_levels_where_they_can_be_told_apart(llama: Base, tmp_path: Path, rule: str) -> None:
    config = make_config(llama, tmp_path, rule, *NIGHTS["several sleeps"], "sleep.passes=4", "sleep.allocator=uniform")
    night = Night(llama, config, STORIES, (1, 4), Journal.open(tmp_path / "work"), ignore)
    assert len(night.memory.record.sleeps) > 1
    assert night.told_apart == ([1, 4] if rule == "keyed" else [4])


@pytest.mark.parametrize("bound", ["guard.max_kl=1e-12", "guard.min_recall_gain=1"])
def test_the_guard_judges_every_level_by_itself(llama: Base, tmp_path: Path, rule: str, bound: str) -> None:
    config = make_config(llama, tmp_path, rule, *NIGHTS["several segments"], bound)
    sleep_at_levels(llama, config, STORIES, (1, 2), work=tmp_path / "work", out=tmp_path / "out", listener=ignore)
    for level in (1, 2):
        memory, own = Memory.load(level_folder(tmp_path / "out", level)), of_its_own(llama, config, level)
        assert [s.reason for s in memory.record.sleeps] == [s.reason for s in own.record.sleeps]
        assert same(memory, own)
        if "max_kl" in bound:
            assert not all(s.kept for s in memory.record.sleeps)
            assert all(s.guard["kl"] <= 1e-12 for s in memory.record.sleeps if s.kept), "of a tiny change rounding may leave nothing"


@pytest.mark.parametrize("at", [("pass", 2), ("pass", 3), ("end", 0)])
def test_a_killed_night_goes_on(llama: Base, tmp_path: Path, rule: str, at: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The later sleep is killed; the earlier one is not slept again, and all levels are as if nothing had happened."""
    monkeypatch.setattr("nrem.runtime.session.resume.CHECKPOINT_SECONDS", 0.0)
    config = make_config(llama, tmp_path, rule, *NIGHTS["several segments"])
    heard: list[Event] = []

    def kill(event: Event) -> None:
        heard.append(event)
        if isinstance(event, PassDone) and (event.sleep, event.passes) == (1, at[1]):
            raise Killed
        if isinstance(event, SleepEnded) and at[0] == "end" and event.record.index == 1:
            raise Killed

    places = {"work": tmp_path / "work", "out": tmp_path / "out"}
    with pytest.raises(Killed):
        sleep_at_levels(llama, config, STORIES, (2, 4), **places, listener=kill)
    heard.clear()
    sleep_at_levels(llama, config, STORIES, (2, 4), **places, listener=heard.append)
    deep = {e.sleep for e in heard if isinstance(e, PassDone) and e.passes > 2}  # level 2 may have a run of its own
    assert deep
    assert 0 not in deep
    for level in (2, 4):
        memory, own = Memory.load(level_folder(tmp_path / "out", level)), of_its_own(llama, config, level)
        assert same(memory, own)
        for kind in ("reading", "passes"):  # the guard has to read its text anew
            assert memory.record.fet[kind] == pytest.approx(own.record.fet[kind])
        assert sum(memory.record.fet.values()) >= sum(own.record.fet.values()) * 0.999  # what was prepared again is charged again


def test_an_end_that_was_not_noted_is_noted_later(llama: Base, tmp_path: Path, rule: str) -> None:
    """Killed between the checkpoint at the end of a sleep and the line that says what it had cost."""
    config = make_config(llama, tmp_path, rule, *NIGHTS["one sleep"], "sleep.passes=2", "sleep.allocator=uniform")
    journal = Journal.open(tmp_path / "work")
    whole = Night(llama, config, STORIES, (1, 2), journal, ignore).memory_at(1).record.fet
    lines = (journal.folder / "journal.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert '"end"' in lines[-1]
    (journal.folder / "journal.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    assert Night(llama, config, STORIES, (1, 2), journal, ignore).memory_at(1).record.fet == pytest.approx(whole)


def test_what_is_there_is_not_made_again(llama: Base, tmp_path: Path) -> None:
    config = make_config(llama, tmp_path, "keyed", *NIGHTS["one sleep"])
    heard: list[Event] = []
    places = {"work": tmp_path / "work", "out": tmp_path / "out"}
    for _ in range(2):
        heard.clear()
        sleep_at_levels(llama, config, STORIES, (1, 2), **places, listener=heard.append)
    assert heard == []


def test_looks_fall_on_every_level(llama: Base, tmp_path: Path) -> None:
    config = make_config(llama, tmp_path, "gradient", *NIGHTS["one sleep"])
    rare = replace(config, sleep=replace(config.sleep, look_every=4))
    sleep_at_levels(llama, rare, STORIES, (2, 6), work=tmp_path / "work", out=tmp_path / "out", listener=ignore)
    assert {tuple(c.looked_at) for c in Memory.load(level_folder(tmp_path / "out", 6)).record.chunks} == {(0, 2, 4, 6)}
    assert {tuple(c.looked_at) for c in Memory.load(level_folder(tmp_path / "out", 2)).record.chunks} == {(0, 2)}


def test_a_price_has_the_looks_of_a_run_of_its_own(llama: Base, tmp_path: Path, rule: str) -> None:
    """Levels are judged where they are reached; who sleeps to one of them looks only before and after, and pays no more."""
    config = make_config(llama, tmp_path, rule, *NIGHTS["several segments"])
    rare = replace(config, sleep=replace(config.sleep, look_every=4, allocator="uniform"))
    sleep_at_levels(llama, rare, STORIES, (1, 2, 4), work=tmp_path / "work", out=tmp_path / "out", listener=ignore)
    for level in (1, 2, 4):
        found = Memory.load(level_folder(tmp_path / "out", level)).record
        assert found.fet == pytest.approx(of_its_own(llama, rare, level).record.fet)
