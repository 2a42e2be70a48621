"""Documents of one name are told apart: each has its segment, its title in the index, and a name of its own, the same in every run."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nrem.consolidation.events import SleepEnded
from nrem.memory.memory import Memory
from nrem.memory.names import told_apart
from nrem.memory.saved.journal import Journal
from nrem.memory.text.heading import heading_of
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session import resume as unfinished
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.rewrite import forget, merge
from nrem.runtime.session.session import Session
from tests import tiny
from tests.cli import Shell
from tests.streams import Killed, config_for, dies_after, equal

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
BOTH = ["README.md", "README.md (2)"]


def readme(text: str, title: str) -> Document:
    return Document.from_text(text, "README.md", title)


STORIES = (readme(tiny.STORY, "Orrin"), readme(OTHER, "Sarn"))


def names(memory: Memory) -> list[str]:
    """Of the documents; those of the chunks, in record and text, are the same."""
    record = memory.record
    each = [d.name for d in record.documents for _ in range(d.num_chunks)]
    assert [c.document for c in record.chunks] == each
    assert [c.document for c in memory.text or ()] == each
    return [d.name for d in record.documents]


def test_a_number_tells_names_apart() -> None:
    assert told_apart(["a", "a", "a (2)", "b", "a", "a (2)"]) == ["a", "a (2)", "a (2) (2)", "b", "a (3)", "a (2) (3)"]


def test_documents_of_one_name_have_segments_and_titles_of_their_own(llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "keyed", tmp_path, "fast_weights.segment_chunks=20")
    memory = consolidate(*STORIES, base=llama, config=config)
    assert names(memory) == BOTH
    assert {c.document: c.segment for c in memory.record.chunks} == {"README.md": 0, "README.md (2)": 1}
    assert memory.text is not None
    last = list(memory.text)[-1]
    assert heading_of(memory.text, last) == "Sarn"
    assert [hit.chunk.document for hit in memory.text.search("Sarn wheel", 1)] == ["README.md (2)"]
    apart = consolidate(STORIES[0], Document.from_text(OTHER, "SARN.md", "Sarn"), base=llama, config=config)
    assert [s.chunks for s in memory.record.sleeps] == [s.chunks for s in apart.record.sleeps]
    assert equal(memory, apart)


def test_extended_and_merged_they_are_told_apart_too(llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "keyed", tmp_path)
    first, second = (consolidate(one, base=llama, config=config) for one in STORIES)
    merged = Memory.load(merge(first, second).save(tmp_path / "merged"))
    assert names(merged) == BOTH
    assert names(first) == names(second) == ["README.md"], "these are what they were"
    longer = extend(Memory.load(first.save(tmp_path / "m")), STORIES[1], Document.from_text(OTHER), Document.from_text(OTHER), base=llama)
    assert names(Memory.load(longer.save(tmp_path / "m", force=True))) == [*BOTH, "text", "text (2)"]
    left = forget(merged, [c.index for c in merged.record.chunks if c.document == "README.md"])
    assert names(Memory.load(left.save(tmp_path / "left"))) == ["README.md (2)"]
    assert names(extend(Memory.load(tmp_path / "left"), STORIES[0], base=llama)) == ["README.md (2)", "README.md"]


def test_an_older_memory_with_equal_names_is_read_and_merged_by_place(llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "keyed", tmp_path)
    memory = consolidate(*STORIES, base=llama, config=config)
    for document in memory.record.documents:
        document.name = "README.md"
    for record in memory.record.chunks:
        record.document = "README.md"
    memory.with_scratch_text([replace(chunk, document="README.md") for chunk in memory.text or ()])
    old = Memory.load(memory.save(tmp_path / "old"))
    assert names(old) == ["README.md", "README.md"]
    assert names(extend(Memory.load(tmp_path / "old"), STORIES[1], base=llama)) == ["README.md", *BOTH]
    merged = merge(old, consolidate(STORIES[1], base=llama, config=config))
    assert names(merged) == [*BOTH, "README.md (3)"]
    assert [c.title for c in merged.text or () if c.document == "README.md (2)"] == ["Sarn"]


@pytest.mark.parametrize("lived", [0, 1])
def test_a_run_that_goes_on_gives_the_same_names(llama: Base, lived: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    config = config_for(llama, "keyed", tmp_path, "fast_weights.segment_chunks=20")
    whole = consolidate(*STORIES, base=llama, config=config)
    with pytest.raises(Killed):
        Session(base=llama, config=config, listener=dies_after(lived, SleepEnded), journal=Journal.open(tmp_path / "j")).read(*STORIES)
    memory = Session(base=llama, config=config, journal=Journal.open(tmp_path / "j")).read(*STORIES)
    assert names(memory) == BOTH
    assert equal(memory, whole)
    assert memory.record.documents == whole.record.documents


def test_the_command_line_shows_the_same_names_everywhere(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, text in (("a", tiny.STORY), ("b", OTHER)):
        (shell.folder / folder).mkdir()
        (shell.folder / folder / "README.md").write_text(f"# {folder}\n\n{text}", encoding="utf-8")
    sleep = ("sleep", "a/README.md", "b/README.md", "--config", "tiny.toml", "-o", "m")
    assert json.loads(shell(*sleep, "--json").out)["documents"] == BOTH
    assert "nothing is unfinished, the memory is there already" in shell(*sleep, "--resume").err
    (shell.folder / "b" / "README.md").write_text(OTHER, encoding="utf-8")
    assert "the memory there is of README.md, README.md (2), got" in (said := shell(*sleep, "--resume").err)
    assert "got README.md, README.md (2) with another text; choose" in said
    for _ in range(2):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(OTHER.encode()), encoding="utf-8"))
        done = shell("extend", "m", "-", "--json")
        assert done.code == 0, done.err
    wanted = [*BOTH, "stdin", "stdin (2)"]
    assert json.loads(done.out)["documents"] == wanted
    shown = json.loads(shell("show", "m", "--json").out)
    assert [d["name"] for d in shown["documents"]] == wanted
    assert list(dict.fromkeys(c["document"] for c in shown["chunks"])) == wanted
    assert shell("verify", "m").code == 0
