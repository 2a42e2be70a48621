"""Regular files of a bounded size inside a folder that somebody else may have made: nothing else is opened, and nothing is read before its
size is known. Knows nothing about what is in them.
"""

import hashlib
import os
import re
import stat
from io import BufferedReader
from pathlib import Path

from nrem.memory.errors import MemoryFolderError, MissingFileError
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MEMORY, RESUME, STATISTICS, TEXT, TEXT_CHUNKS, TEXT_INDEX, WRITTEN

MIB, GIB = 2**20, 2**30
MOST_BYTES = {
    MEMORY: 64 * MIB,
    ADAPTER_CONFIG: MIB,
    ADAPTER_WEIGHTS: 16 * GIB,
    WRITTEN: 16 * GIB,
    STATISTICS: 16 * GIB,
    RESUME: 64 * GIB,
    TEXT_CHUNKS: GIB,
    TEXT_INDEX: 4 * GIB,
}
"""The largest file of each name that is read."""

NAMES = re.compile(
    rf"(segment-[0-9]{{4,6}}/)?({'|'.join(map(re.escape, (ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS)))})"
    rf"|segment-[0-9]{{4,6}}/{re.escape(WRITTEN)}"
    rf"|{TEXT}/({re.escape(TEXT_CHUNKS)}|{re.escape(TEXT_INDEX)})"
)
"""What a memory may say that it consists of, beside `memory.json` and the card."""

_KINDS = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def open_regular(folder: Path, name: str) -> BufferedReader:
    """Open a file by its name in the folder, folders between them with `/`.

    Raises `MissingFileError` where there is none, and `MemoryFolderError` for whatever is no regular file, for a folder on the way that is
    a link, and for more bytes than `MOST_BYTES`. A pipe is refused, not waited for.
    """
    path = folder
    *between, last = Path(name).parts
    for part in between:
        path = path / part
        _refuse(folder, str(path.relative_to(folder)), _status(path).st_mode, stat.S_ISDIR, "a folder")
    path = path / last
    _refuse(folder, name, _status(path).st_mode, stat.S_ISREG, "a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    status = os.fstat(file.fileno())
    most = MOST_BYTES[last]
    try:
        _refuse(folder, name, status.st_mode, stat.S_ISREG, "a regular file")
        if status.st_size > most:
            raise MemoryFolderError(f"{folder}: {name} has {status.st_size:,} bytes, expected at most {most:,}; restore it or sleep again")
    except BaseException:
        file.close()
        raise
    return file


def read_regular(folder: Path, name: str) -> bytes:
    """Its whole content; raises like `open_regular`."""
    with open_regular(folder, name) as file:
        return file.read(MOST_BYTES[Path(name).name])


def sha256_regular(folder: Path, name: str) -> str:
    """sha256 of its content, hexadecimal; raises like `open_regular`."""
    with open_regular(folder, name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{path}: no such file") from None


def _refuse(folder: Path, name: str, mode: int, wanted: object, expected: str) -> None:
    assert callable(wanted)
    if wanted(mode):
        return
    found = next((word for is_kind, word in _KINDS if is_kind(mode)), "a device" if not stat.S_ISREG(mode) else "a file")
    way_out = "copy the memory with cp -rL" if stat.S_ISLNK(mode) else "restore it or sleep again"
    raise MemoryFolderError(f"{folder}: {name} is {found}, expected {expected}; {way_out}")
