"""What in a folder is nrem's own, and what somebody else put there: only the first is ever replaced or deleted.

Own is a regular file with a name that nrem gives, at the place where it puts it, or one that the folder's `memory.json` lists and that
still has the content listed. A link under such a name goes; what it points to stays.
"""

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.atomic import sha256_file, sync_file
from nrem.memory.saved.files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    EVENTS,
    MEMORY,
    RESUME,
    SEALED,
    SEGMENT,
    STATISTICS,
    TEXT,
    WRITTEN,
)
from nrem.memory.saved.json_text import parse_json
from nrem.memory.saved.regular import read_regular

Owns = Callable[[str], bool]
"""Whether nrem gives this name to a file; the path in the folder, with slashes."""

_ADAPTER = "|".join(re.escape(name) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS))
COPIED = ".tmpcopied"
"""What a copy of somebody else's file is called until it is whole."""
_TORN = r"\.tmp\w{6}"
"""What safetensors writes into before it gives a file its name."""
_TEMPORARY = re.compile(rf"\..+\.tmp|{_TORN}|\..+\.nrem-lock")
_TEXT = rf"{TEXT}/(chunks\.jsonl|\.?index\.safetensors(\.tmp)?|(index|\.index\.tmp)/([\w-]+/)?[\w.-]+\.(npy|json|jsonl|sha256|safetensors))"
_MEMORY = re.compile(rf"{re.escape(MEMORY)}|{re.escape(CARD)}|({SEGMENT}\d+/)?({_ADAPTER})|{SEGMENT}\d+/{re.escape(WRITTEN)}|{_TEXT}")
_JOURNAL = re.compile(rf"{re.escape(EVENTS)}|\.?{re.escape(RESUME)}(\.tmp)?|{SEALED}/\.?\d+(\.tmp)?/({_ADAPTER}|{_TORN})|{_TORN}|{_TEXT}")
_HALF_MADE = re.compile(rf"({SEGMENT}\d+/)?{_TORN}")
_FOLDERS = re.compile(rf"{SEGMENT}\d+|{TEXT}(/(index|\.index\.tmp)(/(chunks|windows))?)?|{SEALED}(/\.?\d+(\.tmp)?)?")


def of_memory(name: str) -> bool:
    """Names of the files of a memory."""
    return _MEMORY.fullmatch(name) is not None


def of_journal(name: str) -> bool:
    """Names of the files of an unfinished run."""
    return _JOURNAL.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Names of files that nrem makes and takes away again, half-written ones and locks; a kill may leave one."""
    return _TEMPORARY.fullmatch(name) is not None


def of_any(name: str) -> bool:
    """Names of the files of a memory or an unfinished run, whole or half made."""
    return of_memory(name) or of_journal(name) or _HALF_MADE.fullmatch(name) is not None


def anything(name: str) -> bool:
    """For folders that nobody else writes into, as in a cache."""
    return True


def foreign(folder: Path, owns: Owns) -> list[str]:
    """What in the folder is somebody else's: paths in it, sorted; a whole folder of theirs as one. Links are not followed."""
    return sorted(name for name, _, own in _walk(folder, owns) if not own)


def holds_own(folder: Path, owns: Owns) -> bool:
    """Whether at least one file in the folder is nrem's."""
    return any(own and not entry.is_dir(follow_symlinks=False) for _, entry, own in _walk(folder, owns))


def stands_in(folder: Path, owns: Owns, heir: Path) -> bool:
    """Whether all that is somebody else's in the folder is in `heir` as well."""
    files = [Path(d) / n for d, _, names in os.walk(folder) for n in names if not owns((Path(d) / n).relative_to(folder).as_posix())]
    there = [(path, heir / path.relative_to(folder)) for path in files]
    return all(os.path.lexists(other) and (os.path.samestat(path.lstat(), other.lstat()) or _equal(path, other)) for path, other in there)


def check_keepable(folder: Path, owns: Owns) -> None:
    """Raise `MemoryFolderError`, before any work is done, where something of somebody else could not be kept."""
    device = folder.stat().st_dev
    for name in foreign(folder, owns):
        path = folder / name
        if owns(name) or _FOLDERS.fullmatch(name):
            raise MemoryFolderError(f"{path}: stands where nrem keeps something of its own; move it away, then try again")
        for inside in (path, *(Path(d) / n for d, folders, files in os.walk(path) for n in (*folders, *files))):
            status = inside.lstat()
            real_folder = stat.S_ISDIR(status.st_mode)
            if real_folder and (status.st_dev != device or not os.access(inside, os.R_OK | os.W_OK | os.X_OK)):
                why = "is on another file system" if status.st_dev != device else "cannot be read and written"
                raise MemoryFolderError(f"{inside}: is not nrem's and {why}, so it cannot be kept; move it away, then try again")


def carry(old: Path, made: Path, owns: Owns) -> None:
    """Put what is somebody else's in `old` into `made` as well: the same files by hard links, copies where a file system has none."""
    for name in foreign(old, owns):
        _make_folders(old, made, name)
        _carry(old / name, made / name, made / COPIED)


def clear(folder: Path, owns: Owns, heir: Path, *, newer: bool = False) -> None:
    """Delete a folder that was replaced, but for what is somebody else's: that goes to `heir`, where it is not there already.

    Where another file of that name is in `heir`, that of the folder takes its place if it is `newer`; else both are kept.
    """
    for name in foreign(folder, owns):
        _make_folders(folder, heir, name)
        _hand_over(folder / name, heir / name, newer=newer)
    delete(folder)


def delete(folder: Path) -> None:
    """Delete a whole folder, also where folders in it are write-protected."""

    def unlock(call: Callable[..., object], path: str, error: object) -> None:
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path)
        else:
            os.unlink(path)

    shutil.rmtree(folder, onerror=unlock)


def _walk(folder: Path, owns: Owns) -> Iterator[tuple[str, "os.DirEntry[str]", bool]]:
    """(path in the folder, entry, whether it is nrem's); folders of nrem's are looked into, those of others are not."""
    listed = _listed(folder)
    open_ = [""]
    while open_:
        inside = open_.pop()
        with os.scandir(folder / inside) as entries:
            for entry in entries:
                name = f"{inside}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    own = owns is anything or _FOLDERS.fullmatch(name) is not None
                    if own:
                        open_.append(f"{name}/")
                else:
                    regular = entry.is_file(follow_symlinks=False) or entry.is_symlink()
                    own = regular and (owns(name) or (name in listed and _has(entry, listed[name])))
                    own = own or (entry.is_symlink() and _FOLDERS.fullmatch(name) is not None)
                yield name, entry, own


def _listed(folder: Path) -> dict[str, str]:
    """sha256 of the files that the folder's record lists."""
    with suppress(OSError, ValueError):
        values = parse_json(read_regular(folder, MEMORY))
        if isinstance(values, dict) and isinstance(values.get("files"), dict):
            return values["files"]
    return {}


def _has(entry: "os.DirEntry[str]", digest: str) -> bool:
    return entry.is_file(follow_symlinks=False) and sha256_file(Path(entry.path)) == digest


def _make_folders(old: Path, made: Path, name: str) -> None:
    """The folders above a file."""
    for parent in reversed(Path(name).parents):
        if not (made / parent).is_dir():
            (made / parent).mkdir(parents=True)
            shutil.copystat(old / parent, made / parent)


def _carry(source: Path, target: Path, half: Path) -> None:
    if _is_folder(source):
        target.mkdir()
        for inside in source.iterdir():
            _carry(inside, target / inside.name, half)
        shutil.copystat(source, target)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # a file system without hard links
        if source.is_symlink():
            target.symlink_to(os.readlink(source))
        elif source.is_file():
            shutil.copy2(source, half)
            sync_file(half)
            os.rename(half, target)
        else:
            raise MemoryFolderError(f"{source}: is not nrem's and cannot be kept; move it away, then try again") from None


def _hand_over(source: Path, heir: Path, *, newer: bool) -> None:
    """Move a file or a folder to where it is to stay; one that is there already, as it is, is enough."""
    if os.path.lexists(heir):
        if _is_folder(source) and _is_folder(heir):
            for inside in source.iterdir():
                _hand_over(inside, heir / inside.name, newer=newer)
            return
        if os.path.samestat(source.lstat(), heir.lstat()) or (not newer and _equal(source, heir)):
            return
        if not newer or _is_folder(source) or _is_folder(heir):
            number = 1
            while os.path.lexists(heir.with_name(f"{heir.name}.kept-{number}")):
                number += 1
            heir = heir.with_name(f"{heir.name}.kept-{number}")
    os.replace(source, heir)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _equal(source: Path, heir: Path) -> bool:
    if source.is_symlink() or heir.is_symlink():
        return source.is_symlink() and heir.is_symlink() and os.readlink(source) == os.readlink(heir)
    return source.is_file() and heir.is_file() and sha256_file(source) == sha256_file(heir)
