"""A process that dies at an aimed point: forked, and killed before its n-th call that changes a folder, or after a time."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from nrem.memory.saved import exchange as exchange_module
from nrem.memory.saved import replace as replace_module

CALLS = ("rename", "replace", "link", "symlink", "mkdir", "unlink", "rmdir", "chmod", "fsync")


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    """Its exit code; -9 where it was killed."""
    calls: int
    """Calls that change a folder, as far as it came by itself; 0 where it was killed."""

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def run(action: Callable[[], Any], *, number: int = 0, seconds: float = 0.0) -> Ended:
    """Do something in a process of its own, killed before its call of this number, from 1, or after so many seconds; 0 for not at all."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        code, count = 1, [0]
        try:
            os.close(readable)
            _aim(number, count)
            code = action() or 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os.write(writable, str(count[0]).encode())
            os._exit(code)
    os.close(writable)
    try:
        if seconds and not _ends(child, seconds):
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child not in _status else _status.pop(child)
        return Ended(status, int(os.read(readable, 20) or 0))
    finally:
        os.close(readable)


def killed_at(number: int, action: Callable[[], Any]) -> bool:
    """`run`, which must end well unless it is killed: whether it was."""
    ended = run(action, number=number)
    assert ended.killed or not ended.code, "it failed by itself"
    return ended.killed


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file in a folder by its path, with its content; a link with where it points."""
    return {
        path.relative_to(folder).as_posix(): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


_status: dict[int, int] = {}


def _ends(child: int, seconds: float) -> bool:
    """Wait for a child that long; whether it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            _status[child] = os.waitstatus_to_exitcode(status)
            return True
        time.sleep(0.001)
    return False


def _aim(number: int, count: list[int]) -> None:
    os_fsync = os.fsync

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            if call is os_fsync:
                return None  # a killed process loses nothing that it wrote, and disks are slow
            return call(*args, **options)

        return wrapped

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))
    replace_module.exchange = counting(exchange_module.exchange)
