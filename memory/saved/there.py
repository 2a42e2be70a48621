"""Whether a name is a file or a folder, whatever the name is: one that is too long for the file system, as a text given in place of a name
may be, is neither. Imports nothing else of nrem."""

from pathlib import Path


def is_file(name: str | Path) -> bool:
    """A regular file, or a link to one."""
    try:
        return Path(name).is_file()
    except OSError:
        return False


def is_dir(name: str | Path) -> bool:
    """A folder, or a link to one."""
    try:
        return Path(name).is_dir()
    except OSError:
        return False


def exists(name: str | Path) -> bool:
    """Anything that is not a link to nothing."""
    try:
        return Path(name).exists()
    except OSError:
        return False
