"""The heading under which a chunk stands, for people who want to look it up. Knows nothing about models."""

import re

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText

_LINE = re.compile(r"^#{1,6}[^\S\n](.*)", re.MULTILINE)
"""Its end is cut by hand: a pattern that also looks for closing marks tries every way to divide a run of spaces."""
FARTHEST = 64
"""Chunks that are looked at in front of one that has no heading itself."""


def heading_of(text: EvictedText, chunk: Chunk) -> str:
    """The last Markdown heading at the start of a chunk, or of a part of one, or before it, else the first one inside it, else the
    document's title."""
    inside = headings(chunk.text)
    if inside and not chunk.text[: inside[0][0]].strip():
        return inside[0][1]
    for index in range(chunk.index, max(-1, chunk.index - 1 - FARTHEST), -1):
        before = text.get(index)
        if before.document != chunk.document:
            break
        if found := headings(before.text[: max(0, chunk.start - before.start)]):
            return found[-1][1]
    return inside[0][1] if inside else chunk.title


def headings(text: str) -> list[tuple[int, str]]:
    """The Markdown headings of a text, each with where its line begins.

    >>> headings("# Tides ##\\nText.\\n\\n## C #")
    [(0, 'Tides'), (18, 'C')]
    """
    found = [(match.start(), match[1].strip()) for match in _LINE.finditer(text)]
    return [(start, words.rstrip("#").rstrip() or "#") for start, words in found if words]
