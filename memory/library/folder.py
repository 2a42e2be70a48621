"""The library: the memories in a folder, whole, damaged or unfinished, and the way to delete one. Knows nothing about models."""

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nrem.memory.errors import MemoryFolderError, MissingFileError, NremError, UsageError
from nrem.memory.saved.files import MEMORY, UNFINISHED
from nrem.memory.saved.leftovers import targets
from nrem.memory.saved.lock import one_writer, tidied
from nrem.memory.saved.own import check_keepable, foreign, holds_own, of_journal, of_memory
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.saved.record_file import MADE_ANEW, read_tidied_record
from nrem.memory.saved.replace import delete_folder
from nrem.memory.saved.scratch import sweep_once

UNFINISHED_ENTRY = "unfinished"
"""The problem of an entry that is a sleep which was cut off."""


@dataclass(frozen=True)
class Entry:
    """One memory of a library."""

    folder: Path
    record: MemoryRecord | None
    """What it knows about itself; None where that cannot be read."""
    num_bytes: int
    problem: str = ""
    """Why it cannot be used; empty where it can, as far as its record tells."""


def list_memories(folder: Path) -> list[Entry]:
    """The memories directly in a folder, by name; a folder that is a memory itself is the only one.

    Raises `MissingFileError` for a folder that is not there; one memory that cannot be read does not hide the others. Files are not opened,
    except each `memory.json`.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder}: no such folder; name one that holds memories, `nrem sleep DOC -o {shlex.quote(f'{folder}/NAME')}` makes the first"
        )
    if (folder / MEMORY).exists():
        tidied(folder)
        return [_entry(folder)]
    sweep_once()
    for left in targets(folder):  # those that something is left of, found in one look: reading each memory takes no further one
        tidied(left)
    found = (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return [_entry(path) for path in found if _is_memory(path)]


def delete_memory(folder: Path) -> list[str]:
    """Delete a memory, damaged or whole, or what an unfinished sleep left, and nothing else.

    Returns what is kept, in a folder of that name, since it is somebody else's. Raises before it touches anything, `InUseError` where
    somebody writes there.
    """
    with one_writer(folder, "nrem rm"):
        check_deletable(folder)
        return delete_folder(folder, of_journal if is_unfinished(folder) else of_memory)


def check_deletable(folder: Path) -> None:
    """Raise unless the folder is a memory, or an unfinished one."""
    tidied(folder)
    if folder.is_symlink():
        there = shlex.quote(os.path.realpath(folder))
        raise UsageError(f"{folder}: is a symbolic link; nrem rm {there} deletes the memory, rm {shlex.quote(str(folder))} the link alone")
    if is_unfinished(folder):
        check_keepable(folder, of_journal)
        return
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such memory; `nrem ls` lists them")
    if not (folder / MEMORY).exists():
        raise MemoryFolderError(f"{folder}: not a memory, {MEMORY} is missing; nrem deletes memories only")
    check_keepable(folder, of_memory)


def unfinished_beside(memory: Path) -> str:
    """Where a memory's text lies as well: a sentence about the unfinished run that was to replace it; empty where there is none."""
    folder = memory.with_name(f"{memory.name}{UNFINISHED}")
    if not is_unfinished(folder):
        return ""
    return f"{folder}: an unfinished sleep is still there, with its text; nrem rm {shlex.quote(str(folder))} deletes it"


def is_unfinished(folder: Path) -> bool:
    """Whether the folder is the journal of a sleep that was cut off; something of somebody else may lie beside it."""
    if not folder.name.endswith(UNFINISHED) or not folder.is_dir() or folder.is_symlink():
        return False
    return not (folder / MEMORY).exists() and (holds_own(folder, of_journal) or not foreign(folder, of_journal))


def check_is_unfinished(folder: Path) -> None:
    """Raise where the name of a journal is taken by something else."""
    if not is_unfinished(folder):
        raise UsageError(f"{folder}: is not an unfinished sleep, and its name is needed for one; move it away, or choose another name")


def _is_memory(path: Path) -> bool:
    """Whether it is one, or may be: a folder that cannot be looked into is listed with the reason."""
    try:
        return (path / MEMORY).exists() or is_unfinished(path)
    except OSError:
        return True


def _size(folder: Path) -> int:
    size = 0
    for inside, _, names in os.walk(folder):  # passes over what it cannot open
        for name in names:
            with suppress(OSError):
                size += os.stat(os.path.join(inside, name)).st_size
    return size


def _entry(folder: Path) -> Entry:
    size = _size(folder)
    try:
        if not (folder / MEMORY).exists():
            return Entry(folder, None, size, UNFINISHED_ENTRY)
        record = read_tidied_record(folder)
    except (NremError, OSError) as error:
        said = f"cannot be read ({error.strerror})" if isinstance(error, OSError) and error.strerror else str(error)
        return Entry(folder, None, size, said.removeprefix(f"{folder}: "))
    missing = [name for name in record.files if name not in MADE_ANEW and not (folder / name).exists()]
    return Entry(folder, record, size, f"{missing[0]} is missing" if missing else "")
