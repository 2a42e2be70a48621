"""The heading under which a chunk stands, for people who want to look it up. Knows nothing about models."""

import re

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText

HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
FARTHEST = 64
"""Chunks that are looked at in front of one that has no heading itself."""


def heading_of(text: EvictedText, chunk: Chunk) -> str:
    """The last Markdown heading at the start of a chunk, or of a part of one, or before it, else the first one inside it, else the
    document's title."""
    inside = [(match.start(), match[1]) for match in HEADING.finditer(chunk.text)]
    if inside and not chunk.text[: inside[0][0]].strip():
        return inside[0][1]
    for index in range(chunk.index, max(-1, chunk.index - 1 - FARTHEST), -1):
        before = text.get(index)
        if before.document != chunk.document:
            break
        if found := HEADING.findall(before.text[: max(0, chunk.start - before.start)]):
            return str(found[-1])
    return inside[0][1] if inside else chunk.title
