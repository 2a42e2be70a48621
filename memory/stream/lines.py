"""Lines that are no prose: what has no full stops, such as a list, a table or settings, is taken line by line. Knows no models."""

from collections.abc import Iterator, Sequence

LONGEST_LINE = 200
"""Characters of a line that is taken for an item, a row or a heading."""


def lines_of(sentence: str) -> Iterator[str]:
    r"""A sentence that goes on over lines is one; items, rows and settings are taken line by line, and a line that begins with
    "#", a heading or a comment, is one by itself. White space is made one.

    >>> list(lines_of("It went\non.")), list(lines_of("- a lamp\n- a bell")), list(lines_of("# Port\nIt is open\nall day."))
    (['It went on.'], ['- a lamp', '- a bell'], ['# Port', 'It is open all day.'])
    """
    lines = [line for line in sentence.splitlines() if line.strip()]
    begin = 0
    for at, line in enumerate(lines):
        if line.lstrip().startswith("#"):
            yield from _taken(lines[begin:at])
            yield " ".join(line.split())
            begin = at + 1
    yield from _taken(lines[begin:])


def _taken(lines: Sequence[str]) -> Iterator[str]:
    if len(lines) > 1 and all(len(line) < LONGEST_LINE for line in lines) and _is_list(lines):
        yield from (" ".join(line.split()) for line in lines)
    elif lines:
        yield " ".join(" ".join(lines).split())


def _is_list(lines: Sequence[str]) -> bool:
    """Whether lines are items, rows or headings: behind the first, which tells nothing, most begin with no small letter."""
    behind = [line.lstrip()[0] for line in lines[1:]]
    return sum(not first.islower() for first in behind) > len(behind) / 2 and not any(line.rstrip().endswith(",") for line in lines)
