"""Readers: documents as streams of text. A document may be larger than memory; nothing here holds more than a block of it."""

import codecs
import difflib
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, final

from nrem.memory.errors import DocumentError, MissingFileError

BLOCK_BYTES = 65536
HEADING = re.compile(r"\A\s*#\s+(.+?)\s*#*\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text to stream: its name, its title, and a way to read it from the start."""

    name: str
    title: str
    pieces: Callable[[], Iterator[str]]
    """Yields the text in blocks of any size. What comes from standard input can be read once only."""

    @classmethod
    def from_text(cls, text: str, name: str = "text", title: str = "") -> Self:
        """A document that is already in memory."""

        def pieces() -> Iterator[str]:
            return _not_empty(iter([text]), name)

        return cls(name=name, title=title, pieces=pieces)


class Reader(ABC):
    """Reads one kind of file."""

    @abstractmethod
    def open(self, path: Path) -> Document:
        """The document in a file; errors of its content are raised while it is read."""


@final
class PlainTextReader(Reader):
    """UTF-8 text, exactly as it is; the title is the file's name."""

    def open(self, path: Path) -> Document:
        return _text_document(path, _readable(path.stem))


@final
class MarkdownReader(Reader):
    """UTF-8 text, exactly as it is; the title is the first heading."""

    def open(self, path: Path) -> Document:
        with path.open("rb") as file:
            start = file.read(4096).decode("utf-8", errors="ignore")
        heading = HEADING.search(start.removeprefix("\ufeff"))
        return _text_document(path, heading.group(1) if heading else _readable(path.stem))


READERS: dict[str, type[Reader]] = {
    ".txt": PlainTextReader,
    ".text": PlainTextReader,
    "": PlainTextReader,
    ".md": MarkdownReader,
    ".markdown": MarkdownReader,
}


def read_document(source: str | Path) -> Document:
    """The document in a file, or on standard input for `-`.

    Raises `MissingFileError` for a path that is not there and `DocumentError` for a folder or a kind that is not read; an empty or
    binary document raises `DocumentError` while it is read.
    """
    if str(source) == "-":
        return Document(name="stdin", title="", pieces=lambda: _not_empty(_decode(sys.stdin.buffer, "stdin"), "stdin"))
    path = Path(source)
    if path.is_dir():
        raise DocumentError(f"{path}: is a folder, expected a document; name the files in it")
    if not path.exists():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [], n=1)
        raise MissingFileError(
            f"{path}: no such file; {f'did you mean {path.parent / near[0]}?' if near else 'give the path of a document'}"
        )
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(suffix for suffix in READERS if suffix)
        raise DocumentError(f"{path}: {path.suffix} files are not read, expected one of {kinds}; convert it to text first")
    return reader().open(path)


def _text_document(path: Path, title: str) -> Document:
    def pieces() -> Iterator[str]:
        with path.open("rb") as file:
            yield from _not_empty(_decode(file, str(path)), str(path))

    return Document(name=path.name, title=title, pieces=pieces)


def _decode(file: BinaryIO, name: str) -> Iterator[str]:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        block = file.read(BLOCK_BYTES)
        if b"\0" in block:
            raise DocumentError(f"{name}: byte {offset + block.index(0)} is NUL, expected UTF-8 text; this looks like a binary file")
        cut = len(decoder.getstate()[0])  # bytes of a character that the last block has cut
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DocumentError(
                f"{name}: not UTF-8 text near byte {offset - cut + error.start} ({error.reason}); convert it, or give a text file"
            ) from None
        yield text.removeprefix("\ufeff") if offset == 0 else text
        if not block:
            return
        offset += len(block)


def _not_empty(pieces: Iterator[str], name: str) -> Iterator[str]:
    found = False
    for piece in pieces:
        found = found or bool(piece.strip())
        yield piece
    if not found:
        raise DocumentError(f"{name}: the document is empty; give one with text in it")


def _readable(stem: str) -> str:
    return re.sub(r"[_\-]+", " ", stem).strip()
