"""What was dreamt about a chunk stays with it, and goes with it: saved, loaded, merged, and forgotten."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import InUseError, MemoryFolderError
from nrem.memory.memory import Memory
from nrem.memory.rebuild import forget, merge
from nrem.memory.saved.files import MEMORY
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from tests import tiny
from tests.dreaming import WORD, counts_of, dreaming, dreams_of, holding, with_dreams, word
from tests.sealed import rehash

CHUNKS = "text/chunks.jsonl"
OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."


@pytest.fixture(scope="module")
def saved(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two memories that dreamt, of texts from which their adapters follow."""
    folder = tmp_path_factory.mktemp("dreaming")
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1")
    made = [consolidate(Document.from_text(text, name), base=llama, config=config) for name, text in (("a", tiny.STORY), ("b", OTHER))]
    first, second = (with_dreams(memory).save(folder / name) for memory, name in zip(made, "ab", strict=True))
    return first, second


@pytest.fixture
def m(saved: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[0], tmp_path / "m"))


class Spy:
    """Stands for a rule that writes texts anew, and keeps what it was given to read."""

    def __init__(self, weights: FastWeights) -> None:
        self.weights = weights
        self.read: list[Chunk] = []

    def __call__(self, chunks: Sequence[Chunk], passes: Mapping[int, int]) -> FastWeights:
        self.read += chunks
        return self.weights.copy()


def test_saved_and_loaded_they_are_the_same(m: Path, tmp_path: Path) -> None:
    memory = Memory.load(m)
    assert memory.text is not None
    assert dreams_of(memory) == [dreaming(chunk).dreamt for chunk in memory.text]
    assert counts_of(memory) == [2] * len(memory.text)
    assert memory.text.has_index
    again = memory.save(tmp_path / "again")
    assert (again / CHUNKS).read_bytes() == (m / CHUNKS).read_bytes()
    assert Memory.load(again).record == memory.record
    assert holding(m) == holding(again) == [CHUNKS], "nowhere but with their chunks"


def test_what_the_record_says_of_them_is_what_is_saved(m: Path, tmp_path: Path) -> None:
    memory = Memory.load(m)
    texts = list(memory.text or ())
    fewer = memory.with_scratch_text([replace(texts[0], dreamt=()), replace(texts[1], dreamt=texts[1].dreamt[:1]), *texts[2:]])
    fewer.save(tmp_path / "fewer")
    assert counts_of(Memory.load(tmp_path / "fewer"))[:3] == [0, 1, 2]


def test_a_text_may_be_kept_anew_from_itself(m: Path) -> None:
    memory = with_dreams(Memory.load(m))
    expected = dreams_of(memory)
    assert memory.text is not None
    assert dreams_of(memory.with_scratch_text(memory.text)) == expected


def test_a_dream_that_was_changed_is_damage(m: Path) -> None:
    content = (m / CHUNKS).read_bytes()
    (m / CHUNKS).write_bytes(content.replace(b"the keeper", b"the reaper", 1))
    with pytest.raises(MemoryFolderError, match=r"text/chunks\.jsonl was changed or damaged after saving"):
        Memory.load(m)
    (m / CHUNKS).write_bytes(content.replace(b'"the keeper"', b"17", 1))
    rehash(m, CHUNKS)
    with pytest.raises(MemoryFolderError, match=r"line 1 is damaged \(the field dreamt\[0\] of a chunk .*, got int as answer\); restore"):
        Memory.load(m)


def test_dreams_of_another_program_are_not_overwritten(m: Path) -> None:
    """A memory that differs in its dreams alone is another one."""
    mine, theirs = Memory.load(m), Memory.load(m)
    texts = list(theirs.text or ())
    theirs.with_scratch_text([replace(texts[0], dreamt=(QuestionAnswer("Who came later?", "they"),)), *texts[1:]]).save(m, force=True)
    assert mine.changed()
    with pytest.raises(InUseError, match="was changed by another program since it was opened"):
        mine.save(m, force=True)
    assert dreams_of(Memory.load(m))[0] == (("Who came later?", "they"),)


@pytest.mark.parametrize("saved_again", ["over the old one", "elsewhere"])
def test_with_the_text_they_are_forgotten(m: Path, tmp_path: Path, saved_again: str) -> None:
    memory = Memory.load(m)
    target = m if saved_again == "over the old one" else tmp_path / "blind"
    memory.save(target, force=True, forget_text=True)
    assert holding(tmp_path) == ([] if target == m else [f"m/{CHUNKS}"])
    assert not (target / "text").exists()
    blind = Memory.load(target)
    assert (blind.text, dreams_of(blind)) == (None, [])
    assert counts_of(blind) == [2] * len(blind.record.chunks), "that there were some is no secret"
    assert counts_of(Memory.load(blind.save(tmp_path / "again"))) == counts_of(blind)


def test_forgetting_a_chunk_takes_its_dreams_and_no_others(m: Path, tmp_path: Path) -> None:
    memory = Memory.load(m)
    texts = list(memory.text or ())
    spy = Spy(memory.weights)
    left = forget(memory, [1], spy)
    expected = [chunk.dreamt for chunk in texts if chunk.index != 1]
    assert dreams_of(left) == expected
    assert [chunk.dreamt for chunk in spy.read] == [c.dreamt for c in texts if c.index != 1 and memory.record.chunks[c.index].passes]
    assert [chunk.index for chunk in left.text or ()] == list(range(len(expected)))
    left.save(m, force=True)
    assert holding(tmp_path, [word(texts[1])]) == []
    assert all(holding(m, [word(chunk)]) == [CHUNKS] for chunk in texts if chunk.index != 1)
    again = Memory.load(m)
    assert dreams_of(again) == expected
    assert counts_of(again) == [2] * len(expected)


@pytest.mark.parametrize("in_one", [True, False])
def test_merged_both_keep_theirs(saved: tuple[Path, Path], tmp_path: Path, in_one: bool) -> None:
    first, second = map(Memory.load, saved)
    expected = dreams_of(first) + dreams_of(second)
    for memory in (first, second):
        memory.record.segment_chunks = 0 if in_one else 8
    spy = Spy(first.weights)
    both = merge(first, second, spy)
    assert len(both.segments) == 2 - in_one
    assert dreams_of(both) == expected
    written = [dreamt for dreamt, c in zip(expected, both.record.chunks, strict=True) if c.passes]
    assert [chunk.dreamt for chunk in spy.read] == (written if in_one else [])
    both.save(tmp_path / "both")
    loaded = Memory.load(tmp_path / "both")
    assert dreams_of(loaded) == expected
    assert counts_of(loaded) == [2] * len(expected)


def test_merged_with_one_that_forgot_its_text_both_have_forgotten(llama: Base, tmp_path: Path) -> None:
    protocol = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})  # keeps statistics beside texts
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1", "fast_weights.segment_chunks=0", f"protocol.name={protocol}")
    first, second = (with_dreams(consolidate(Document.from_text(text), base=llama, config=config)) for text in (tiny.STORY, OTHER))
    first.save(tmp_path / "blind", forget_text=True)
    both = merge(Memory.load(tmp_path / "blind"), second)
    assert both.text is None
    both.save(tmp_path / "both")
    assert holding(tmp_path) == []
    assert counts_of(Memory.load(tmp_path / "both"))[: len(first.record.chunks)] == [2] * len(first.record.chunks)


def test_a_memory_without_dreams_says_nothing_of_them(m: Path, tmp_path: Path) -> None:
    memory = Memory.load(m)
    plain = memory.with_scratch_text([replace(chunk, dreamt=()) for chunk in memory.text or ()]).save(tmp_path / "plain")
    assert holding(plain, [WORD, "dreamt"]) == [MEMORY], "a count of 0"
    assert set(counts_of(Memory.load(plain))) == {0}
