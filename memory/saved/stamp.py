"""Whether a saved memory is still the one that was opened: every writer puts a new `memory.json` in its place. Reads nothing of it."""

from pathlib import Path

from nrem.memory.saved.files import MEMORY

Stamp = tuple[int, int, int, int]


def stamp_of(folder: Path) -> Stamp | None:
    """Of what lies there now; None where no memory does."""
    try:
        found = (folder / MEMORY).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
