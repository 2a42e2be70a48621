"""`memory.json` in its folder: read, and compared with the files beside it. Knows no tensors."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from nrem.memory.errors import MemoryFolderError, MissingFileError
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.files import ADAPTER_CONFIG, MEMORY, RESUME, TEXT
from nrem.memory.saved.lock import tidied
from nrem.memory.saved.record import MemoryRecord


def read_record(folder: Path) -> MemoryRecord:
    """The `memory.json` of a folder; the errors say what else the folder may be. What a killed writer left beside it is tidied up first."""
    tidied(folder)
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such memory; `nrem ls` lists them, `nrem sleep DOC -o {shlex.quote(str(folder))}` makes one")
    path = folder / MEMORY
    if not path.exists():
        if (folder / RESUME).exists():
            raise MemoryFolderError(f"{folder}: an unfinished sleep; finish it with nrem sleep --resume")
        if (folder / ADAPTER_CONFIG).exists():
            raise MemoryFolderError(f"{folder}: a plain PEFT adapter without {MEMORY}; open it with PEFT, or sleep again with nrem")
        raise MemoryFolderError(f"{folder}: not a memory, {MEMORY} is missing; `nrem ls` lists the memories in a folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MemoryFolderError(f"{path}: not valid JSON ({error}); restore the file or sleep again") from None
    if not isinstance(values, dict):
        raise MemoryFolderError(f"{path}: expected a JSON object; restore the file or sleep again")
    return MemoryRecord.from_dict(values, str(path))


def read_checked_record(folder: Path) -> MemoryRecord:
    """`read_record`, and the files that must not change are there as they were saved; text that was forgotten on purpose may be gone.

    Imports no model library: a memory that cannot be used is refused in a fraction of a second.
    """
    record = read_record(folder)
    for name, digest in record.files.items():
        if not (folder / name).exists():
            if name.startswith(f"{TEXT}/"):
                continue
            raise MemoryFolderError(f"{folder}: {name} is missing; restore the file or sleep again")
        if sha256_file(folder / name) != digest:
            raise MemoryFolderError(f"{folder}: {name} was changed or damaged after saving (its hash differs); restore it or sleep again")
    return record


def check_plain(record: MemoryRecord, where: str) -> None:
    """Raise `MemoryFolderError` where a value is of another type than its key has, as after an edit by hand: lists count with them."""
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool}
    parts: dict[str, Sequence[Any]] = {"documents": record.documents, "chunks": record.chunks, "sleeps": record.sleeps}
    for name, rows in parts.items():
        for number, row in enumerate(rows):
            for field in fields(row):
                value, kind = getattr(row, field.name), kinds.get(str(getattr(field.type, "__name__", field.type)), object)
                if not isinstance(value, kind):
                    what = f"{name}[{number}].{field.name} is {value!r}, expected {getattr(field.type, '__name__', field.type)}"
                    raise MemoryFolderError(f"{where}: {what}; restore the file or sleep again")
    if not all(isinstance(value, (int, float)) for value in (*record.fet.values(), *record.seconds.values())):
        raise MemoryFolderError(f"{where}: fet or seconds hold what is no number; restore the file or sleep again")
