"""The library lists what is in a folder, and deletes memories and nothing else."""

import os
import tempfile
from pathlib import Path

import pytest

from nrem.memory.errors import MemoryFolderError, MissingFileError, UsageError
from nrem.memory.library.folder import check_is_unfinished, delete_memory, list_memories
from nrem.memory.memory import Memory
from nrem.memory.saved import leftovers
from nrem.memory.saved.scratch import PREFIX, sweep_once
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from tests import tiny


@pytest.fixture(scope="session")
def memory(llama: Base) -> Memory:
    """A memory that was not saved yet."""
    return Session(base=llama, config=tiny.make_config()).stream(Document.from_text(tiny.STORY))


@pytest.fixture
def library(tmp_path: Path, memory: Memory) -> Path:
    """Two memories, one of them damaged, an unfinished one, and things that are none."""
    memory.save(tmp_path / "good")
    memory.save(tmp_path / "bad")
    (tmp_path / "bad" / "memory.json").write_text("{", encoding="utf-8")
    (tmp_path / "cut.unfinished" / "text").mkdir(parents=True)
    (tmp_path / "cut.unfinished" / "segments" / "0000").mkdir(parents=True)
    (tmp_path / "novel").mkdir()
    (tmp_path / "novel" / "chapter.txt").write_text("It was night.", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("Buy milk.", encoding="utf-8")
    return tmp_path


def test_it_lists_memories_whole_damaged_and_unfinished(library: Path) -> None:
    found = {entry.folder.name: entry for entry in list_memories(library)}
    assert list(found) == ["bad", "cut.unfinished", "good"]
    assert found["good"].record is not None
    assert found["good"].problem == ""
    assert found["good"].num_bytes > 1000
    assert "not valid JSON" in found["bad"].problem
    assert found["cut.unfinished"].problem == "unfinished"


def test_a_missing_adapter_is_noticed(library: Path) -> None:
    (library / "good" / "adapter_model.safetensors").unlink()
    assert {e.folder.name: e.problem for e in list_memories(library)}["good"] == "adapter_model.safetensors is missing"


def test_a_memory_itself_is_the_only_entry(library: Path) -> None:
    assert [entry.folder for entry in list_memories(library / "good")] == [library / "good"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        list_memories(tmp_path / "nix")


def test_a_listing_looks_at_what_lies_beside_the_memories_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each memory took four seconds for 2,000 of them."""
    for number in range(30):
        (tmp_path / f"m{number}").mkdir()
        (tmp_path / f"m{number}" / "memory.json").write_text("{", encoding="utf-8")
    looked: list[object] = []
    scandir = os.scandir

    def counted(folder: "str | os.PathLike[str]") -> object:
        if Path(folder) == tmp_path:
            looked.append(folder)
        return scandir(folder)

    monkeypatch.setattr(leftovers.os, "scandir", counted)
    assert len(list_memories(tmp_path)) == 30
    assert 0 < len(looked) <= 5


def test_a_listing_takes_away_text_that_killed_sessions_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (left := tmp_path / "temporary" / f"{PREFIX}x").mkdir(parents=True)
    (left / "chunks.jsonl").write_text("{}", encoding="utf-8")
    (tmp_path / "library").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(left.parent))
    sweep_once.cache_clear()
    assert list_memories(tmp_path / "library") == []
    assert not left.exists()


@pytest.mark.parametrize("name", ["good", "bad", "cut.unfinished"])
def test_memories_can_be_deleted_in_any_state(library: Path, name: str) -> None:
    before = {path.name for path in library.iterdir()}
    delete_memory(library / name)
    assert {path.name for path in library.iterdir()} == before - {name}


def test_nothing_else_can_be_deleted(library: Path) -> None:
    (library / "link").symlink_to(library / "bad")
    (library / "other.unfinished").mkdir()
    (library / "other.unfinished" / "letter.txt").write_text("Dear", encoding="utf-8")
    before = sorted(library.rglob("*"))
    with pytest.raises(MemoryFolderError, match=r"novel: not a memory, memory.json is missing"):
        delete_memory(library / "novel")
    with pytest.raises(UsageError, match=r"link: is a symbolic link; nrem rm .*/bad deletes the memory, rm .*/link the link alone"):
        delete_memory(library / "link")
    for name in ("notes.txt", "nix"):
        with pytest.raises(MissingFileError, match=f"{name}: no such memory"):
            delete_memory(library / name)
    with pytest.raises(MemoryFolderError, match=r"other.unfinished: not a memory"):
        delete_memory(library / "other.unfinished")
    with pytest.raises(UsageError, match=r"other.unfinished: is not an unfinished sleep"):
        check_is_unfinished(library / "other.unfinished")
    assert sorted(library.rglob("*")) == before
