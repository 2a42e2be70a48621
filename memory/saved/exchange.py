"""Two paths swapped in one step, as Linux can; nothing else. Knows nothing about what lies there.

`renameat2(RENAME_EXCHANGE)`: see rename(2). Other systems, and file systems that do not know it (NFS, FAT, some of FUSE), get a plain no.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)
"""What kernels, file systems and sandboxes say that do not know the call."""


def exchange(first: Path, second: Path) -> bool:
    """Let each have the other's name, in one step; False where that cannot be done here. Raises `OSError` where it failed otherwise."""
    if (call := _renameat2()) is None:
        return False
    if call(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


@cache
def _renameat2() -> Callable[..., int] | None:
    """The function of the C library; None where it has none."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    call.restype = ctypes.c_int
    found: Callable[..., int] = call
    return found
