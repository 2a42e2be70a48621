"""`memory.json` in its folder: read, and the place for a new one looked at. Knows nothing about tensors."""

import json
import os
from pathlib import Path

from nrem.memory.errors import MemoryFolderError, MissingFileError, UsageError
from nrem.memory.names import printable
from nrem.memory.saved.files import ADAPTER_CONFIG, MEMORY, RESUME
from nrem.memory.saved.record import MemoryRecord


def read_record(folder: Path) -> MemoryRecord:
    """The `memory.json` of a folder; the errors say what else the folder may be."""
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such memory; `nrem ls` lists them, `nrem sleep DOC -o {folder}` makes one")
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


def check_target(target: Path, *, force: bool) -> None:
    """Refuse to write over what is there, and a name under which nothing could be read again, before any work is done."""
    try:
        os.fsencode(target.absolute()).decode("utf-8")
    except UnicodeDecodeError:
        where = printable(target.absolute())
        raise UsageError(f"{where}: not UTF-8, expected a path that safetensors can open; choose another name or place") from None
    if not target.exists():
        return
    if not (target / MEMORY).exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: exists and is not a memory; choose another name, nrem does not overwrite it")
    if not force and (target / MEMORY).exists():
        raise UsageError(f"{target}: a memory is already there; choose another name, or replace it with --force")
