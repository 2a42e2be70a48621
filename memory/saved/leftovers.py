"""What killed writers left beside a memory: found by its name, put back or taken away by the next one. Knows nothing about models.

The names are those of `nrem.memory.saved.replace`. Whoever holds the lock of a memory may do this: then nobody is alive who made them.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nrem.memory.saved.atomic import sync_folder
from nrem.memory.saved.files import MEMORY, RESUME, UNFINISHED
from nrem.memory.saved.json_text import parse_json
from nrem.memory.saved.own import clear, foreign, holds_own, of_any, of_journal, stands_in
from nrem.memory.saved.regular import open_regular, read_regular
from nrem.memory.saved.replace import DELETED, NEW, OLD, delete_folder

LOCK = "nrem-lock"
"""What the name of the lock file of a memory ends with."""
_LOCK = re.compile(rf"\.(?P<target>.+)\.{LOCK}", re.DOTALL)
_NAME = re.compile(rf"\.(?P<target>.+)\.(?P<pid>\d+)\.(?P<what>{NEW}|{OLD}|{DELETED})", re.DOTALL)


def leftovers(target: Path) -> list[Path]:
    """What stands beside a memory, or its unfinished run, under the names of a writer; also those of one that is alive."""
    names = {target.name, f"{target.name}{UNFINISHED}", target.name.removesuffix(UNFINISHED)}
    return [path for path, of in _all(target.parent) if of in names]


def targets(folder: Path) -> list[Path]:
    """The memories in a folder that writers left something of, if only their lock."""
    locks = {match["target"] for path in folder.glob(f".*.{LOCK}") if (match := _LOCK.fullmatch(path.name))}
    return sorted({folder / of for of in {*locks, *(of for _, of in _all(folder))}})


def tidy(target: Path) -> None:
    """Put back what a killed writer had moved aside, and take away what is no longer needed. The lock of the memory must be held."""
    found = leftovers(target)
    for path in found:
        match = _NAME.fullmatch(path.name)
        assert match is not None, "found by its name"
        place = path.with_name(match["target"])
        if match["what"] == OLD and not os.path.lexists(place) and holds_own(path, of_any):
            os.rename(path, place)  # killed between two renames
    for path in found:
        match = _NAME.fullmatch(path.name)
        if match is None or not path.exists():
            continue
        place = path.with_name(match["target"])
        if holds_own(path, of_any) or stands_in(path, of_any, place):  # else it is somebody else's, under such a name
            if foreign(path, of_any):
                place.mkdir(exist_ok=True)
            clear(path, of_any, place)
    if found:
        sync_folder(target.parent)
    unfinished = target.with_name(f"{target.name}{UNFINISHED}")
    if _ended(target, unfinished):
        delete_folder(unfinished, of_journal)


def checkpoint_state(path: Path) -> dict[str, Any] | None:
    """The plain values of a checkpoint, read without a tensor; None where it cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError), open_regular(path.parent, path.name) as file:
        length = int.from_bytes(file.read(8), "little")
        if 0 < length <= path.stat().st_size:
            state = parse_json(parse_json(file.read(length))["__metadata__"]["state"])
            return state if isinstance(state, dict) else None
    return None


def _ended(target: Path, unfinished: Path) -> bool:
    """Whether the run that this journal is of has saved its memory, and was killed before it could take the journal away."""
    if not (target / MEMORY).is_file() or unfinished.is_symlink() or (state := checkpoint_state(unfinished / RESUME)) is None:
        return False
    with suppress(OSError, ValueError, KeyError, TypeError):
        saved = parse_json(read_regular(target, MEMORY))
        return bool(_which(saved) == _which(state["record"]) and _first_chunks(state["record"], saved))
    return False


def _which(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["created"], record["base"], record["protocol"], record["config"]


def _first_chunks(first: dict[str, Any], longer: dict[str, Any]) -> bool:
    """Whether one run's chunks begin with those of the other: a second is enough for two runs of tiny models."""
    keys = ("document", "start", "end", "surprisal")
    mine, theirs = ([[chunk[key] for key in keys] for chunk in record["chunks"]] for record in (first, longer))
    return mine == theirs[: len(mine)]


def _all(folder: Path) -> Iterator[tuple[Path, str]]:
    """Real folders with names of a writer, and the name of what they are of."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path), match["target"]
