"""One writer a memory: who writes into a folder, or deletes it, holds the lock of its name, and whoever comes second is told who does.

The lock file is `.NAME.nrem-lock` beside the folder, and gone when nobody writes. The unfinished run of a memory, `NAME.unfinished`, has
the lock of the memory. Readers need no lock.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from nrem.memory.errors import InUseError, MemoryFolderError, NremError, UsageError
from nrem.memory.saved.files import UNFINISHED
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.leftovers import LOCK, leftovers, tidy
from nrem.memory.saved.scratch import sweep_once, sweep_scratch

if TYPE_CHECKING:
    from filelock import BaseFileLock

WAIT_SECONDS = 0.3
"""Long enough for somebody who only tidies up to end."""
LONGEST_NAME = 200
"""Bytes; names beside the folder are longer than its own, and file systems take 255."""

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""The lock files that this thread holds, so that what it calls may write too."""


@contextmanager
def one_writer(target: Path, command: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock of a memory's folder, which need not be there yet; what killed processes left of it is tidied up first.

    Raises `InUseError`, naming command, process and time, where another process or thread holds it, `UsageError` for a name that is too
    long, and `MemoryFolderError` where the place cannot be written to.
    """
    path = lock_file(target)
    if path in _held.get():
        yield
        return
    made = _make_folders(path.parent)
    try:
        with _locked(path, target, command, wait_seconds):
            token = _held.set(_held.get() | {path})
            try:
                tidy(target)
                sweep_scratch()
                yield
            finally:
                _held.reset(token)
    finally:
        for folder in made:
            with suppress(OSError):  # the memory is in it
                folder.rmdir()


def tidied(target: Path) -> None:
    """Tidy up what killed writers left of a memory, for who only reads it: where there is something, and nobody writes there."""
    sweep_once()
    with suppress(NremError, OSError):
        if leftovers(target) or lock_file(target).exists():
            with one_writer(target, "tidying up", wait_seconds=0):
                pass


def lock_file(target: Path) -> Path:
    """Where the lock of a memory lies; of an unfinished run it is that of the memory."""
    target = Path(os.path.abspath(target))
    name = target.name
    while name.endswith(UNFINISHED) and name != UNFINISHED:
        name = name.removesuffix(UNFINISHED)
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise UsageError(f"{target}: the name is too long, {len(os.fsencode(name))} bytes; choose one of {LONGEST_NAME} or fewer")
    return Path(os.path.realpath(target.parent)) / f".{name}.{LOCK}"


@contextmanager
def _locked(path: Path, target: Path, command: str, wait_seconds: float) -> Iterator[None]:
    from filelock import FileLock, Timeout, UnixFileLock  # not for those who only read

    lock = FileLock(path, timeout=wait_seconds, poll_interval=0.02, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        if not path.exists():  # nobody holds it: it cannot even be made, as in /proc
            raise MemoryFolderError(f"{path.parent}: cannot be written to; choose another place") from None
        raise InUseError(f"{target}: {_holder(path)}; wait until it has ended, or choose another name") from None
    except OSError as error:
        raise MemoryFolderError(f"{path.parent}: cannot be written to ({error.strerror or error}); choose another place") from None
    file_stays = isinstance(lock, UnixFileLock)
    try:
        if file_stays:
            note = {"command": command, "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
            path.write_text(json_text(note) + "\n", encoding="utf-8")
        yield
    finally:
        _release(lock, path, file_stays)


def _release(lock: "BaseFileLock", path: Path, file_stays: bool) -> None:
    """Take the file away while the lock is held: whoever has opened it finds that it has no name any more, and opens the next one."""
    if file_stays:
        with suppress(OSError):
            path.unlink()
    lock.release()


def _holder(path: Path) -> str:
    try:
        note = parse_json(path.read_text(encoding="utf-8"))
        return f"{note['command']} (process {note['process']}) writes there since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process writes there"


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns those that were not there, deepest first."""
    made = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        made.append(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MemoryFolderError(f"{folder}: cannot be made ({error.strerror or error}); choose another place") from None
    return made
