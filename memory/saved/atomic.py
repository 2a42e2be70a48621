"""Files that are either the old ones or the new ones, whole, whenever process or machine die, and what it takes to be sure of it."""

import errno
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def sha256_file(path: Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write beside the target, sync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Return when the file's content is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Return when the folder's names are on the disk; where a system cannot tell, at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except PermissionError:  # Windows opens no folder; and one that we may not read we have not changed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: Path, wanted: Callable[[str], bool]) -> None:
    """Return when all folders of a tree, and those of its files that are `wanted` by their path in it, are on the disk."""
    for inside, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(inside) / name
            if path.is_file() and not path.is_symlink() and wanted(path.relative_to(folder).as_posix()):
                sync_file(path)
        sync_folder(Path(inside))


def new_file_mode() -> int:
    """The mode of a file that anybody would make now: readable and writable, less what the umask takes."""
    with suppress(OSError):
        if found := re.search(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE):
            return 0o666 & ~int(found[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
