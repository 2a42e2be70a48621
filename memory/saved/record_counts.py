"""What the parts of a record say of one another: counts, indices and lengths that must agree. Knows no files."""

from collections.abc import Iterator

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.record import MemoryRecord

NEEDED = ("id", "sha256")
"""Of the protocol."""


def check_counts(record: MemoryRecord, where: str) -> None:
    """Raises `MemoryFolderError`, naming `where`, for the first thing that does not agree."""
    if problem := next(_problems(record), ""):
        raise MemoryFolderError(f"{where}: {problem}; restore the file or sleep again")


def _problems(record: MemoryRecord) -> Iterator[str]:
    count, sleeps = len(record.chunks), len(record.sleeps)
    if missing := [key for key in NEEDED if key not in record.protocol]:
        yield f"protocol lacks {missing[0]}"
    if record.num_chunks > count:
        yield f"the documents have {record.num_chunks} chunks, and {count} are listed"
    for number, chunk in enumerate(record.chunks):
        if chunk.index != number:
            yield f"chunks[{number}].index is {chunk.index}, expected {number}"
        if chunk.end < chunk.start:
            yield f"chunks[{number}] ends at {chunk.end}, before its start at {chunk.start}"
        if chunk.sleep >= sleeps:
            yield f"chunks[{number}].sleep is {chunk.sleep}, and there are {sleeps} sleeps"
        if chunk.segment >= max(1, count):
            yield f"chunks[{number}].segment is {chunk.segment}, and there are {count} chunks"
        if not len(chunk.looked_at) == len(chunk.recall) == len(chunk.nll):
            yield f"chunks[{number}] has {len(chunk.looked_at)} looks, {len(chunk.recall)} of recall and {len(chunk.nll)} of nll"
    for number, sleep in enumerate(record.sleeps):
        if wrong := [index for index in (*sleep.chunks, *sleep.replayed) if index >= count]:
            yield f"sleeps[{number}] names chunk {wrong[0]}, and there are {count}"
    if record.canary and {"question", "answer"} - record.canary.keys():
        yield "canary lacks its question or its answer"
