"""The hypnogram: one file for any number of chunks, one character a column in a terminal."""

from pathlib import Path

import pytest

from nrem.memory.errors import UsageError
from nrem.memory.saved.record import ChunkRecord, DocumentRecord, MemoryRecord
from nrem.runtime.models.load import Base
from nrem.runtime.show.hypnogram import plot_hypnogram
from nrem.runtime.show.hypnogram_text import hypnogram_text

EXITS = ("solved", "hopeless", "cap", "budget", "empty")


def record_of(base: Base, count: int) -> MemoryRecord:
    chunks = [
        ChunkRecord(
            document="d", index=i, start=i, end=i + 1, num_tokens=9, surprisal=2.0, sleep=0, passes=i % 5, exit=EXITS[i % 5], num_probes=2,
            nll_before=4.0, nll_after=3.0,
        )
        for i in range(count)
    ]  # fmt: skip
    document = DocumentRecord(name="d", title="Title", sha256="", num_characters=count, num_tokens=9 * count, num_chunks=count)
    return MemoryRecord(base=base.identity, protocol={"id": "p", "sha256": ""}, config={}, seed=0, documents=[document], chunks=chunks)


@pytest.mark.parametrize("count", [1, 12, 1000])
def test_a_picture_of_any_night(llama: Base, tmp_path: Path, count: int) -> None:
    path = plot_hypnogram(record_of(llama, count), tmp_path / "night.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused(llama: Base, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got \.jpg, expected \.png"):
        plot_hypnogram(record_of(llama, 1), tmp_path / "night.jpg")
    with pytest.raises(UsageError, match="no chunks"):
        plot_hypnogram(record_of(llama, 0), tmp_path / "night.png")


def test_a_terminal_shows_a_column_a_chunk_or_several_chunks_a_column(llama: Base) -> None:
    passes, before, after, legend = hypnogram_text(record_of(llama, 5)).plain.split("\n")
    assert passes == "passes   ▂▄▆█"
    assert before == "before  █████"
    assert after == "after   ▆▆▆▆▆"
    assert legend.split() == "1 solved 1 hopeless 1 cap 1 budget 1 empty full height: 4 passes, NLL 4.0; a column is a chunk".split()
    wide = hypnogram_text(record_of(llama, 1000), width=80).plain.split("\n")
    assert max(map(len, wide[:3])) <= 80
    assert "a column is 14 chunks" in wide[3]
    assert hypnogram_text(record_of(llama, 0)).plain == ""
