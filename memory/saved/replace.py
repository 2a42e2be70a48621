"""A finished folder put in its place, and what was there before taken away: whole, whenever the process or the machine dies.

    .NAME.PID.new      a folder on its way to NAME; behind the exchange, what NAME was before
    .NAME.PID.old      what NAME was before, where folders cannot be exchanged in one step
    .NAME.PID.deleted  what is being deleted

All of them lie beside NAME. Whoever comes next with the lock of NAME tidies them up (`nrem.memory.saved.leftovers`).
"""

import os
import shutil
import stat
from pathlib import Path

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.atomic import new_file_mode, sync_folder, sync_tree
from nrem.memory.saved.exchange import exchange
from nrem.memory.saved.files import MEMORY
from nrem.memory.saved.own import Owns, anything, carry, clear, delete, foreign

NEW, OLD, DELETED = "new", "old", "deleted"


def beside(target: Path, what: str) -> Path:
    """The name of a folder of this process beside the target."""
    return target.with_name(f".{target.name}.{os.getpid()}.{what}")


def place_folder(made: Path, target: Path) -> None:
    """Give the finished folder `made` the name `target`, which nothing has, or an empty folder.

    Raises `MemoryFolderError` where something has taken the name meanwhile.
    """
    sync_tree(made, anything)
    try:
        os.rename(made, target)
    except OSError as error:
        if not os.path.lexists(target):
            raise
        raise MemoryFolderError(
            f"{target}: appeared meanwhile and is not replaced ({error.strerror}); move it away, then try again"
        ) from error
    sync_folder(target.parent)


def replace_folder(made: Path, target: Path, owns: Owns = anything) -> None:
    """Put the finished folder `made` in the place of `target`, if there is one. Of that only what nrem `owns` goes, the rest stays."""
    if not os.path.lexists(target):
        place_folder(made, target)
        return
    carry(target, made, owns)
    sync_tree(made, owns)
    if exchange(made, target):
        old = made
    else:
        old = beside(target, OLD)
        os.rename(target, old)
        try:
            os.rename(made, target)
        except OSError:
            os.rename(old, target)
            raise
    sync_folder(target.parent)
    try:
        clear(old, owns, target, newer=True)
    except OSError as error:
        why = error.strerror or error
        raise MemoryFolderError(f"{target}: is in place, but {old}, what was there before, cannot be deleted ({why}); delete it") from error
    sync_folder(target.parent)


def delete_folder(folder: Path, owns: Owns) -> list[str]:
    """Delete what nrem `owns` in a folder, and the folder unless something else is in it; returns what was kept, as paths in the folder."""
    if kept := foreign(folder, owns):
        made = beside(folder, NEW)
        made.mkdir()
        shutil.copystat(folder, made)
        replace_folder(made, folder, owns)
        return kept
    aside = beside(folder, DELETED)
    os.rename(folder, aside)
    if foreign(aside, owns):  # somebody was quicker
        os.rename(aside, folder)
        return delete_folder(folder, owns)
    sync_folder(folder.parent)
    delete(aside)
    sync_folder(folder.parent)
    return []


def one_mode(made: Path, target: Path) -> None:
    """Give all files of a new folder one mode: that of the memory that it replaces, else what the umask leaves."""
    mode = stat.S_IMODE((target / MEMORY).stat().st_mode) if (target / MEMORY).is_file() else new_file_mode()
    folder_mode = stat.S_IMODE(target.stat().st_mode) if target.is_dir() else stat.S_IMODE(made.stat().st_mode)
    for inside, _, names in os.walk(made):
        os.chmod(inside, folder_mode)
        for name in names:
            os.chmod(os.path.join(inside, name), mode)
