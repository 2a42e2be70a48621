"""`memory.json` in its folder: written with its own hash, read, and compared with the files beside it.

Knows no tensors, and imports no model library: a memory that cannot be used is refused in a fraction of a second.
"""

import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import Any

from nrem.memory.errors import MemoryFolderError, MissingFileError
from nrem.memory.saved.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    MEMORY,
    RESUME,
    TEXT,
    TEXT_CHUNKS,
    TEXT_INDEX,
    WRITTEN,
    segment_folder,
)
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.lock import tidied
from nrem.memory.saved.record import SCHEMA_VERSION, MemoryRecord
from nrem.memory.saved.record_counts import check_counts
from nrem.memory.saved.regular import NAMES, read_regular, sha256_regular

OWN_HASH = "sha256"
"""The key of the hash of all the others."""
HASHED_SINCE = 3
"""Schema version since which there is one."""
MADE_ANEW = (f"{TEXT}/{TEXT_INDEX}",)
"""Files that follow from others: where one is damaged or missing it is not used, and nothing is lost."""


def write_record(folder: Path, record: MemoryRecord) -> None:
    """Write `memory.json` into a folder, in the newest schema."""
    record.schema_version = SCHEMA_VERSION
    values: dict[str, Any] = json.loads(json_text(record.to_dict()))
    text = json_text(values | {OWN_HASH: own_hash(values)}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / MEMORY).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path) -> MemoryRecord:
    """`read_tidied_record`, after what a killed writer left beside the folder is tidied up."""
    tidied(folder)
    return read_tidied_record(folder)


def read_tidied_record(folder: Path) -> MemoryRecord:
    """The `memory.json` of a folder, validated; the errors say what else the folder may be. For who has just tidied up: to find out whether
    there is something to tidy takes a look at all that lies beside the folder."""
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such memory; `nrem ls` lists them, `nrem sleep DOC -o {shlex.quote(str(folder))}` makes one")
    path = folder / MEMORY
    if not os.path.lexists(path):
        if (folder / RESUME).exists():
            raise MemoryFolderError(f"{folder}: an unfinished sleep; finish it with nrem sleep --resume")
        if (folder / ADAPTER_CONFIG).exists():
            raise MemoryFolderError(f"{folder}: a plain PEFT adapter without {MEMORY}; open it with PEFT, or sleep again with nrem")
        raise MemoryFolderError(f"{folder}: not a memory, {MEMORY} is missing; `nrem ls` lists the memories in a folder")
    try:
        values = parse_json(read_regular(folder, MEMORY), parse_constant=lambda word: None)  # earlier versions wrote NaN
    except ValueError as error:
        if isinstance(error, MemoryFolderError):
            raise
        raise MemoryFolderError(f"{path}: not valid JSON ({error}); restore the file or sleep again") from None
    if not isinstance(values, dict):
        raise MemoryFolderError(f"{path}: expected a JSON object; restore the file or sleep again")
    _check_own_hash(values, path)
    record = MemoryRecord.from_dict(values, str(path))
    check_counts(record, str(path))
    return record


def read_checked_record(folder: Path) -> MemoryRecord:
    """`read_record`, and the files that must not change are there as they were saved."""
    record = read_record(folder)
    _check_names(record, folder)
    for name, digest in record.files.items():
        if name in MADE_ANEW:
            continue
        if problem := damage(folder, name, digest):
            raise MemoryFolderError(problem)
    return record


def damage(folder: Path, name: str, digest: str) -> str:
    """One sentence where a file is not as it was saved, else nothing. Raises `MemoryFolderError` where it is no regular file."""
    try:
        found = sha256_regular(folder, name)
    except MissingFileError:
        return f"{folder}: {name} is missing; restore the file or sleep again"
    if found != digest:
        return f"{folder}: {name} was changed or damaged after saving (its hash differs); restore it or sleep again"
    return ""


def keeps_text(record: MemoryRecord) -> bool:
    """Whether its text lies beside it."""
    return f"{TEXT}/{TEXT_CHUNKS}" in record.files


def _check_names(record: MemoryRecord, folder: Path) -> None:
    """Only files that nrem writes are looked at, and each that an answer needs has a hash."""
    for name in record.files:
        if NAMES.fullmatch(name) is None:
            raise MemoryFolderError(
                f"{folder / MEMORY}: files names {name[:60]!r}, which is no file of a memory; restore it or sleep again"
            )
    for index in range(record.num_segments):
        place = segment_folder(folder, index).relative_to(folder)
        if index and (place / WRITTEN).as_posix() in record.files:
            continue
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            if (wanted := place / name).as_posix() not in record.files:
                raise MemoryFolderError(f"{folder / MEMORY}: files lacks the hash of {wanted}; restore it or sleep again")


def _check_own_hash(values: dict[str, Any], path: Path) -> None:
    """Also of a record that says that it is older: a changed version must not switch the check off."""
    own, version = values.pop(OWN_HASH, None), values.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:  # refused for that
        return
    if own is None and version < HASHED_SINCE:
        return
    if own != own_hash(values):
        raise MemoryFolderError(f"{path}: was changed or damaged after saving (its own hash differs); restore it or sleep again")


def own_hash(values: dict[str, Any]) -> str:
    """Of the content, however it is spaced and ordered."""
    try:
        text = json_text(values, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()
