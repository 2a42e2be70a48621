"""Files and folders that are either the old ones or the new ones, whole, whenever the process dies."""

import hashlib
import os
import shutil
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


def replace_folder(made: Path, target: Path) -> None:
    """Put the finished folder `made` in the place of `target`; an old one steps aside first and goes last."""
    if not target.exists():
        os.rename(made, target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    os.rename(target, aside)
    try:
        os.rename(made, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside)
