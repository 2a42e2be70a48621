"""A disk of so many bytes: a tmpfs where one may be mounted, else a limit on the size of each file that a process writes."""

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a tmpfs there."""
    disk = SmallDisk(folder / "probe")
    if mounted := disk.mount(1 << 16):
        disk.unmount()
    return mounted


class SmallDisk:
    """One place to mount it at."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def mount(self, size: int) -> bool:
        """Whether it worked."""
        self.place.mkdir(exist_ok=True)
        return _quietly("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.place))

    def grow(self, size: int) -> None:
        if not _quietly("mount", "-o", f"remount,size={size}", str(self.place)):
            raise RuntimeError(f"{self.place}: cannot be mounted anew")

    @property
    def used(self) -> int:
        """Bytes of what lies there, in whole pages."""
        found = os.statvfs(self.place)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def unmount(self) -> None:
        if not _quietly("umount", str(self.place)):
            raise RuntimeError(f"{self.place}: cannot be unmounted")


def limited(action: Callable[[], Any], size: int) -> Callable[[], Any]:
    """The action, in a process that may write no file of more bytes."""

    def act() -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return action()

    return act


def _quietly(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
