"""Sources: where the bytes of a document come from. A file is read in place; what can be read once only, such as a pipe, is kept first.

A kept source lies in memory while it is small, else in a temporary file without a name, which goes with the process at the latest.
Knows nothing about encodings or kinds of files.
"""

import os
import re
import stat
import sys
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, TextIO, final

from nrem.memory.errors import DocumentError, UsageError
from nrem.memory.names import printable
from nrem.memory.saved.there import exists

BLOCK_BYTES = 65536
KEPT_IN_MEMORY = 8 << 20
"""Bytes of a pipe that are kept in memory; a longer one goes to a temporary file."""
STDIN = "stdin"
_DESCRIPTOR = re.compile(r"/(?:dev|proc/(?:self|\d+))/fd/(\d+)|/dev/(stdin)")


class Source(ABC):
    """Bytes with a name, which can be read from the start as often as one likes."""

    where: str
    """What messages call it."""
    name: str
    """What the memory calls it."""
    suffix: str
    """Of its name, in small letters, with the dot; "" where it has none."""
    stem: str
    """The name without the suffix; "" where nobody gave it a name."""

    @abstractmethod
    def blocks(self) -> Iterator[bytes]:
        """The bytes from the start, none of the blocks longer than `BLOCK_BYTES`. Raises `DocumentError` where reading fails."""

    def start(self, size: int) -> bytes:
        """The first `size` bytes, or all where there are fewer."""
        start = b""
        for block in self.blocks():
            start += block
            if len(start) >= size:
                break
        return start[:size]


@final
class FileSource(Source):
    """A file that stays where it is."""

    def __init__(self, path: Path) -> None:
        self._path, self.where = path, printable(path)
        real = path.resolve() if _DESCRIPTOR.fullmatch(str(path)) else path
        self.name, self.suffix, self.stem = printable(real.name), real.suffix.lower(), printable(real.stem)

    def blocks(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except OSError as error:
            raise unreadable(self.where, error) from None


@final
class KeptSource(Source):
    """What could be read once only, kept until the source is gone. Reading ends when whoever writes into the pipe has ended."""

    def __init__(self, name: str, open_: Callable[[], AbstractContextManager[BinaryIO]], path: Path = Path()) -> None:
        self.where = self.name = name
        self.suffix, self.stem = path.suffix.lower(), printable(path.stem)
        self._file = tempfile.SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 - closed with the source
        weakref.finalize(self, self._file.close)
        try:
            with open_() as file:
                while block := file.read(BLOCK_BYTES):
                    self._file.write(block)
        except OSError as error:
            raise unreadable(name, error) from None

    def blocks(self) -> Iterator[bytes]:
        offset = 0
        while True:
            self._file.seek(offset)  # others may be reading as well
            if not (block := self._file.read(BLOCK_BYTES)):
                return
            offset += len(block)
            yield block


def source_of(path: str | Path) -> Source:
    """The source behind a path that exists, or standard input for `-`. Raises `DocumentError` for a device and what cannot be read."""
    found = _DESCRIPTOR.fullmatch(str(path))
    if str(path) == "-":
        return KeptSource(STDIN, _stdin)
    path = Path(path)
    mode = _stat(path).st_mode
    if stat.S_ISREG(mode):
        return FileSource(path)
    if found and (found[2] or found[1] == "0"):
        return KeptSource(STDIN, _stdin)
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        raise DocumentError(f"{printable(path)}: is a device, expected a document; give a file, a pipe or - for standard input")
    if found:
        return KeptSource(f"pipe-{found[1]}", lambda: path.open("rb"))
    return KeptSource(printable(path.name), lambda: path.open("rb"), path)


def once_only(path: str | Path) -> object:
    """What stands for the same bytes under every name of a source that can be read once only; None for a file."""
    if str(path) == "-":
        return _standard()
    if not exists(path):
        return None
    status = _stat(Path(path))
    found = _DESCRIPTOR.fullmatch(str(path))
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return None
    return _standard() if found and (found[2] or found[1] == "0") else (status.st_dev, status.st_ino)


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise unreadable(printable(path), error) from None


def _standard() -> object:
    try:
        status = os.fstat(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or none of the system's
        return STDIN
    return (status.st_dev, status.st_ino)


def typed() -> TextIO:
    """Standard input as text, for questions; raises `UsageError` where it is closed."""
    if sys.stdin is None:
        raise UsageError("-: standard input is closed; pipe questions into it, one a line, or give them as arguments")
    return sys.stdin


def _stdin() -> AbstractContextManager[BinaryIO]:
    """Standard input, which stays open for others."""
    if sys.stdin is None:
        raise DocumentError("-: standard input is closed; pipe a document into it, or give the name of a file")
    try:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    except (OSError, ValueError):  # not one of the system's, as in a notebook
        return nullcontext(sys.stdin.buffer)


def unreadable(where: str, error: OSError) -> DocumentError:
    """The error for what the operating system does not let be read."""
    return DocumentError(f"{where}: cannot be read ({error.strerror or error}); give a file that can be")
