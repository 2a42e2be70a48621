"""Evicted text for tests: a few chunks of one document, on disk."""

from pathlib import Path

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText, Hit

TEXTS = [
    "The Orrin lighthouse was built in 1874 on the northern rocks. ",
    "Keeper Maren Tull lit the lamp at six every evening. ",
    "The harbour froze in the winter of 1891, and the lamp with it. ",
    "Nobody came. ",
    "\u2028Ünïcode, “quotes”,\nnew\r\nlines, \x00 and 😀.\n",
]


def make_chunk(index: int, text: str) -> Chunk:
    return Chunk(document="d", title="t", index=index, start=0, end=len(text), text=text, num_tokens=len(text.split()))


CHUNKS = [make_chunk(i, text) for i, text in enumerate(TEXTS)]


def make_text(folder: Path, chunks: list[Chunk] = CHUNKS) -> EvictedText:
    evicted = EvictedText(folder)
    for chunk in chunks:
        evicted.append(chunk)
    return evicted


def indices(hits: list[Hit]) -> list[int]:
    return [hit.chunk.index for hit in hits]
