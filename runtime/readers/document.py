"""A document: a text to stream, whatever it comes from; and a reader, which makes one of a file. Knows no kinds of files."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from nrem.memory.arguments import check_kind
from nrem.memory.errors import DocumentError
from nrem.memory.stream.nothing import Form
from nrem.runtime.readers.source import Source

Tell = Callable[[str], None]
"""Takes one line for the person who waits."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text to stream: its name, its title, and a way to read it from the start."""

    name: str
    title: str
    pieces: Callable[[], Iterator[str]]
    """Yields the text in blocks of any size, from its start at every call."""

    @classmethod
    def from_text(cls, text: str, name: str = "text", title: str = "") -> Self:
        """A document that is already in memory. Raises `DocumentError` where it says nothing or is not Unicode text."""
        for what, value in (("text", text), ("name", name), ("title", title)):
            check_kind(what, value, str, "text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DocumentError(f"{name}: character {error.start} is half a surrogate pair, expected text; decode it anew") from None
        check_says_something([text], name)
        return cls(name=name, title=title, pieces=lambda: iter([text]))


class Reader(ABC):
    """Reads one kind of file."""

    @abstractmethod
    def open(self, source: Source, *, encoding: str, tell: Tell) -> Document:
        """The document; all that can be wrong with the file is found here. `encoding` is "" where it is not known."""


def check_says_something(pieces: Iterable[str], where: str) -> None:
    """Raise `DocumentError` for a text without anything that could be asked about; looks at all of it."""
    form = Form()
    for piece in pieces:
        form.add(piece)
    if form.blank:
        raise DocumentError(f"{where}: the document is empty; give one with text in it")
    if form.says_nothing:
        raise DocumentError(f"{where}: the document is only rules, dots or one repeated character; give one with text in it")
