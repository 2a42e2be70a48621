"""Names of files and documents as they are shown and saved. Knows nothing about what is in them."""

import os
from collections.abc import Collection, Iterable
from itertools import count
from pathlib import Path


def printable(name: str | Path) -> str:
    r"""A file's name as text: bytes that are not UTF-8 stand as `\xe9`, and the locale makes no difference."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def unique(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken: a memory tells its documents apart by name.

    >>> unique("README.md", ["README.md", "README.md (2)"]), unique("b.md", ["README.md"])
    ('README.md (3)', 'b.md')
    """
    names = (name if number == 1 else f"{name} ({number})" for number in count(1))
    return next(free for free in names if free not in taken)


def told_apart(names: Iterable[str]) -> list[str]:
    """The names in their order, those that come again with a number behind them.

    >>> told_apart(["README.md", "b.md", "README.md"])
    ['README.md', 'b.md', 'README.md (2)']
    """
    found: dict[str, None] = {}
    for name in names:
        found[unique(name, found)] = None
    return list(found)
