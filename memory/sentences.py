"""Where sentences and paragraphs end, in text that arrives in blocks. Knows nothing about tokens.

Cuts depend on the text alone, never on how it was split into blocks: a cut is decided only once the character after the white space is there.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LONGEST_UNIT = 2000
"""Characters after which a unit without any sentence end is cut at white space, so that memory stays bounded."""

_END = re.compile(r"""\s*\n[^\S\n]*\n\s*(?=\S)|[.!?…]["'”’)\]]*\s+(?=["'“‘(\[#*\-]*[A-Z0-9À-ÖØ-Þ])|[。！？]\s*(?=\S)""")
_ABBREVIATION = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|e\.g|i\.e|cf|No|Nos|Fig|Vol|Ch|pp?|approx|ca?|Inc|Ltd|Co|Corp|Gen|Col|Lt|Capt|Rev|Hon|Sen|Gov|U\.S|U\.K"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)


class Unit(NamedTuple):
    """A sentence with the white space after it, or a piece of one that is too long."""

    text: str
    ends_paragraph: bool


def units(blocks: Iterable[str]) -> Iterator[Unit]:
    """Tile the text that the blocks make up; joined, the units are the text."""
    source = iter(blocks)
    pending, ended = "", False
    while True:
        while not ended and len(pending) <= LONGEST_UNIT:
            block = next(source, None)
            ended = block is None
            pending += block or ""
        if not pending:
            return
        end = _first_end(pending)
        if end is None:
            if len(pending) <= LONGEST_UNIT:  # and the text has ended
                yield Unit(pending, True)
                return
            end = _last_space(pending[:LONGEST_UNIT])
        yield Unit(pending[:end], "\n\n" in re.sub(r"[^\S\n]", "", pending[:end][-40:]))
        pending = pending[end:]


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of a text; the spans tile it.

    >>> sentences("Dr. Vane came. He left.")
    [(0, 15), (15, 23)]
    """
    spans, start = [], 0
    for unit in units([text]):
        spans.append((start, start + len(unit.text)))
        start += len(unit.text)
    return spans


def _first_end(text: str) -> int | None:
    for match in _END.finditer(text, 0, min(len(text), LONGEST_UNIT + 1)):
        stop = match.start() + 1
        if "\n" not in match.group().strip(" \t") and _ABBREVIATION.search(text[max(0, stop - 12) : stop]):
            continue
        if match.end() <= LONGEST_UNIT:
            return match.end()
    return None


def _last_space(text: str) -> int:
    cut = max(text.rfind(space) for space in " \n\t")
    return cut + 1 if cut > 0 else len(text)
