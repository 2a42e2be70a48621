"""The place that a memory is to be written to: looked at before any work is done."""

import os
import stat
from pathlib import Path

from nrem.memory.errors import UsageError
from nrem.memory.names import printable
from nrem.memory.saved.files import MEMORY
from nrem.memory.saved.own import check_keepable, of_memory


def real_target(path: Path) -> Path:
    """The folder itself where a symbolic link names it: the link stays, and what it points to is written. Raises `UsageError` for a circle
    of links, and for a path without a name."""
    if path.is_symlink() or path.name in ("", ".."):
        try:
            path = path.resolve()
        except (RuntimeError, OSError):
            raise UsageError(f"{path}: is a circle of symbolic links; choose another name") from None
        if path.is_symlink():
            raise UsageError(f"{path}: is a circle of symbolic links; choose another name")
    if not path.name:
        raise UsageError(f"{path}: is the root of the file system; name a folder in it")
    return path


def check_target(target: Path, *, force: bool) -> None:
    """Refuse to write over what is there, what could not be replaced, and a name under which nothing could be read again."""
    try:
        os.fsencode(target.absolute()).decode("utf-8")
    except UnicodeDecodeError:
        where = printable(target.absolute())
        raise UsageError(f"{where}: not UTF-8, expected a path that safetensors can open; choose another name or place") from None
    target = real_target(target)
    if not os.path.lexists(target):
        return
    if not (target / MEMORY).exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: exists and is not a memory; choose another name, nrem does not overwrite it")
    if not force and (target / MEMORY).exists():
        raise UsageError(f"{target}: a memory is already there; choose another name, or replace it with --force")
    if os.path.ismount(target) or target.stat().st_dev != target.parent.stat().st_dev:
        raise UsageError(f"{target}: is a file system of its own and cannot be replaced; name a folder in it")
    if stat.S_ISDIR(target.stat().st_mode) and not os.access(target, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(f"{target}: cannot be read and written; choose another name, or change its mode")
    check_keepable(target, of_memory)


def check_folder(folder: Path, name: str) -> None:
    """Raise `UsageError`, with the `name` of the argument, where no file can be put into a folder, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise UsageError(f"{name} {folder}: {there} is no folder; name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{name} {folder}: {there} cannot be written to; name another place")
