"""A process that dies at an aimed point: forked, and killed before its n-th call that changes a folder. Knows nothing about memories."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nrem.memory.saved import exchange as exchange_module
from nrem.memory.saved import replace as replace_module

CALLS = ("rename", "replace", "link", "symlink", "mkdir", "unlink", "rmdir", "chmod", "fsync")


def killed_at(number: int, action: Callable[[], Any]) -> bool:
    """Do something in a process of its own, killed before its call of this number, from 1; False where it ended before there was one."""
    child = os.fork()
    if not child:
        code = 1
        try:
            _aim(number)
            action()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "it failed by itself"
    return False


def _aim(number: int) -> None:
    left, os_fsync = number, os.fsync

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            if call is os_fsync:
                return None  # a killed process loses nothing that it wrote, and disks are slow
            return call(*args, **options)

        return wrapped

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))
    replace_module.exchange = counting(exchange_module.exchange)  # type: ignore[assignment]


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file in a folder by its path, with its content; a link with where it points."""
    return {
        path.relative_to(folder).as_posix(): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
