"""What a model dreamt about the chunks of a memory, as it was kept with their text: for people, and for programs. Loads no tensors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.saved.files import TEXT, TEXT_CHUNKS
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.saved.record_file import damage, keeps_text
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.show.night import plural
from nrem.runtime.show.plain import plain


def read_dreams(record: MemoryRecord, folder: Path) -> list[Chunk]:
    """The chunks about which something was dreamt, in order.

    Raises `UsageError` where the text was forgotten, dreams with it, and `MemoryFolderError` where it is not as it was saved.
    """
    if not keeps_text(record):
        raise UsageError(f"{folder} has forgotten its text, and what was dreamt about it; sleep again and keep the text to see dreams")
    name = f"{TEXT}/{TEXT_CHUNKS}"
    if problem := damage(folder, name, record.files[name]):
        raise MemoryFolderError(problem)
    return [chunk for chunk in EvictedText(folder / TEXT) if chunk.dreamt]


def dreams_to_list(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """An object a chunk, with its place and its questions and answers."""
    return [
        {"chunk": c.index, "document": c.document, "start": c.start, "end": c.end, "dreamt": [asked._asdict() for asked in c.dreamt]}
        for c in chunks
    ]


def dreams_text(chunks: Sequence[Chunk]) -> str:
    """A heading a chunk, a line a question with its answer."""
    lines = []
    for c in chunks:
        lines.append(f"chunk {c.index} of {plain(c.document)}, characters {c.start:,} to {c.end:,}: {plural(len(c.dreamt), 'question')}")
        lines += [f"  {plain(asked.question)} -> {plain(asked.answer)}" for asked in c.dreamt]
    return "\n".join(lines)


def told(record: MemoryRecord) -> str:
    """How much was dreamt, in a sentence; empty where nothing was."""
    if not (count := sum(c.dreamt for c in record.chunks)):
        return ""
    about = plural(sum(c.dreamt > 0 for c in record.chunks), "chunk")
    where = "nrem show --dreams prints them" if keeps_text(record) else "forgotten with the text"
    return f"dreamt: {plural(count, 'question')} with answers about {about}; {where}"
