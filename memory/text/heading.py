"""The heading under which a chunk stands, for people who want to look it up. Knows nothing about models."""

import re
from pathlib import PurePath

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText

_LINE = re.compile(r"^(?:#{1,6}[^\S\n](?P<words>.*)|[^\S\n]{0,3}(?P<fence>```+(?=[^`\n]*$)|~~~+)(?P<rest>.*))", re.MULTILINE)
"""Its end is cut by hand: a pattern that also looks for closing marks tries every way to divide a run of spaces."""
FARTHEST = 64
"""Chunks that are looked at in front of one that has no heading itself."""
MARKED = ("", ".md", ".markdown", ".mdx", ".txt", ".text")
"""Endings of documents in which "#" begins a heading; elsewhere it is mostly a comment."""
_NUMBER = re.compile(r" \(\d+\)$")
"""What tells two documents of one name apart."""


def heading_of(text: EvictedText, chunk: Chunk) -> str:
    """The last Markdown heading at the start of a chunk, or of a part of one, or before it, else the first one inside it, else the
    document's title."""
    if PurePath(_NUMBER.sub("", chunk.document)).suffix.lower() not in MARKED:
        return chunk.title
    near = (text.get(index) for index in range(max(0, chunk.index - FARTHEST), chunk.index + 1))
    before = "".join(c.text[: max(0, chunk.start - c.start)] for c in near if c.document == chunk.document)
    found = headings(before + chunk.text)  # together: a block of code may have begun before
    inside = [(start - len(before), words) for start, words in found if start >= len(before)]
    if inside and not chunk.text[: inside[0][0]].strip():
        return inside[0][1]
    if len(inside) < len(found):
        return found[len(found) - len(inside) - 1][1]
    return inside[0][1] if inside else chunk.title


def headings(text: str) -> list[tuple[int, str]]:
    """The Markdown headings of a text, each with where its line begins; none between fences, where code stands.

    >>> headings("# Tides ##\\nText.\\n\\n## C #\\n```sh\\n# a comment\\n```")
    [(0, 'Tides'), (18, 'C')]
    """
    found, fence = list[tuple[int, str]](), ""
    for match in _LINE.finditer(text):
        if mark := match["fence"]:
            if not fence:
                fence = mark
            elif mark.startswith(fence) and not match["rest"].strip():
                fence = ""
        elif not fence and (words := match["words"].strip()):
            found.append((match.start(), words.rstrip("#").rstrip() or "#"))
    return found
