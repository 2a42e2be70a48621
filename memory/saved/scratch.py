"""Folders in the temporary folder that hold text of a document for a while: gone with their process, also when it was killed.

A folder belongs to a living process as long as its lock is held; those of the dead are swept by the next writer.
"""

import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from functools import cache
from pathlib import Path

PREFIX, MAKING = "nrem-text-", "nrem-making-"
LOCK = ".lock"
MADE_SECONDS = 60.0
"""Nobody takes longer to make a folder; it holds no text as yet."""


class Scratch:
    """A folder of this process alone, deleted with this object, at the latest when the process ends."""

    def __init__(self) -> None:
        from filelock import FileLock  # not for those who only read

        making = Path(tempfile.mkdtemp(prefix=MAKING))
        lock = FileLock(making / LOCK, thread_local=False)
        lock.acquire()
        self.folder = making.with_name(making.name.replace(MAKING, PREFIX))
        os.rename(making, self.folder)  # from now on it has the name that is swept, and its lock is held
        self._end = weakref.finalize(self, _remove, self.folder, lock, os.getpid())

    def close(self) -> None:
        """Delete it now."""
        self._end()


def sweep_scratch() -> None:
    """Delete what killed processes of this user left in the temporary folder."""
    there = Path(tempfile.gettempdir())
    for folder in (*there.glob(f"{PREFIX}*"), *there.glob(f"{MAKING}*")):
        with suppress(OSError):
            young = folder.name.startswith(MAKING) and time.time() - folder.stat().st_mtime < MADE_SECONDS
            if _is_mine(folder) and not young:
                _delete_if_free(folder)


@cache
def sweep_once() -> None:
    """`sweep_scratch`, the first time that a process asks."""
    sweep_scratch()


def _is_mine(folder: Path) -> bool:
    status = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and (not hasattr(os, "geteuid") or status.st_uid == os.geteuid())


def _delete_if_free(folder: Path) -> None:
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(folder / LOCK, timeout=0, thread_local=False):
        shutil.rmtree(folder)


def _remove(folder: Path, lock: object, process: int) -> None:
    if os.getpid() != process:  # a fork that ends takes nothing away from its parent
        return
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()  # type: ignore[attr-defined]
