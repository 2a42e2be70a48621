"""JSON lines that a person gives, packed or not: one object a line. Knows nothing about what the objects mean."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nrem.memory.errors import DocumentError, MissingFileError
from nrem.memory.saved.json_text import json_text, parse_json


def read_json_lines(path: Path, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file and line for messages, object) for every line that is not blank; `what` says in a word what each should hold.

    Raises `MissingFileError`, and `DocumentError`, naming the line, for what is not such a file: also a packed one that is torn, and halves
    of surrogate pairs, which are no text.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; give a JSON lines file of {what}")
    found = False
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        found = True
        where = f"{path} line {number}"
        try:
            row = parse_json(line)
            if b"\\ud" in line.lower() or b"\xed" in line:  # nothing else makes half of a surrogate pair
                json_text(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DocumentError(f"{where}: holds half of a surrogate pair, expected text; write the line anew") from None
        except ValueError as error:
            raise DocumentError(f"{where}: not valid JSON ({error}); one object a line is expected") from None
        if not isinstance(row, dict):
            raise DocumentError(f"{where}: got {type(row).__name__}, expected an object with {what}")
        yield where, row
    if not found:
        raise DocumentError(f"{path}: no {what} in it; give one JSON object a line")


def _lines(path: Path) -> Iterator[bytes]:
    packed = path.suffix == ".gz"
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            yield from file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DocumentError(f"{path}: not a whole gzip file ({error}); pack it again, or give it unpacked") from None
