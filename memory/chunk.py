"""Chunks: spans of a document, at most so many tokens, cut at paragraph or sentence ends. Knows nothing about models.

The chunks of a document, joined, are the document; the document may be larger than memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

from nrem.memory.sentences import Unit, units


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A span of a document."""

    document: str
    """Name of the document."""
    title: str
    index: int
    """Position in the memory, from 0, over all of its documents."""
    start: int
    """Offset of the first character in the document."""
    end: int
    text: str
    num_tokens: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(**values)


def cut_chunks(
    pieces: Iterable[str], *, count_tokens: Callable[[str], int], max_tokens: int, document: str, title: str = "", first_index: int = 0
) -> Iterator[Chunk]:
    """Cut a text that arrives in pieces. Where the pieces end has no influence on where the chunks end.

    A chunk is filled with whole paragraphs while they fit, else with whole sentences; a sentence that is too long by itself is
    halved at white space, or inside a word at last. Each unit is tokenised once and each chunk once more, so the work is linear.
    """
    start, index = 0, first_index

    def emit(text: str) -> Chunk:
        nonlocal start, index
        chunk = Chunk(
            document=document,
            title=title,
            index=index,
            start=start,
            end=start + len(text),
            text=text,
            num_tokens=count_tokens(text),
        )
        start, index = chunk.end, index + 1
        return chunk

    waiting: list[tuple[Unit, int]] = []

    def take(cut: int) -> Chunk:
        nonlocal waiting
        text = "".join(u.text for u, _ in waiting[:cut])
        while cut > 1 and count_tokens(text) > max_tokens:  # joined text can take a few tokens more than its parts
            cut -= 1
            text = "".join(u.text for u, _ in waiting[:cut])
        waiting = waiting[cut:]
        return emit(text)

    for unit in _fitting(units(pieces), count_tokens, max_tokens):
        size = count_tokens(unit.text)
        while waiting and _total(waiting) + size > max_tokens:
            yield take(_cut(waiting, max_tokens))
        waiting.append((unit, size))
    while waiting:
        yield take(len(waiting))


def _total(waiting: list[tuple[Unit, int]]) -> int:
    return sum(size for _, size in waiting)


def _cut(waiting: list[tuple[Unit, int]], max_tokens: int) -> int:
    """How many units to take: up to the last paragraph end if that fills at least half a chunk, else all."""
    for cut in range(len(waiting), 0, -1):
        if waiting[cut - 1][0].ends_paragraph and 2 * _total(waiting[:cut]) >= max_tokens:
            return cut
    return len(waiting)


def _fitting(source: Iterable[Unit], count_tokens: Callable[[str], int], max_tokens: int) -> Iterator[Unit]:
    """Halve the units that are too long by themselves."""
    for unit in source:
        if count_tokens(unit.text) <= max_tokens or len(unit.text) == 1:
            yield unit
            continue
        middle = len(unit.text) // 2
        space = max(unit.text.rfind(" ", 1, middle), unit.text.rfind("\n", 1, middle)) + 1
        cut = space if space > middle // 2 else middle
        yield from _fitting([Unit(unit.text[:cut], False), Unit(unit.text[cut:], unit.ends_paragraph)], count_tokens, max_tokens)
