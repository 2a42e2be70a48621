"""The user's cache folder, and models that are unpacked into it once. Knows nothing about kinds of models; imports no model library.

An unpacked model is a transformers folder with a manifest of hashes. Hashing hundreds of megabytes at every start is dear, so what was
found right is taken as right while size and time of change stay the same; `nrem doctor` hashes anyway.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nrem.memory.saved.atomic import sha256_file, write_text
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.replace import replace_folder

MANIFEST = "nrem-manifest.json"
STAMPS = "nrem-stamps.json"
"""Size and time of change of the files when their hashes were last found right."""


def cache_folder() -> Path:
    """`$NREM_CACHE`, else `$XDG_CACHE_HOME/nrem`, else `~/.cache/nrem`."""
    if own := os.environ.get("NREM_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nrem"


def made_once(folder: Path, make: Callable[[Path], None], what: str) -> Path:
    """`folder`, which `make` fills the first time, whole or not at all; a damaged one is made again, with a warning that names `what`."""
    if folder.exists():
        problem = damage(folder)
        if not problem:
            return folder
        warnings.warn(f"nrem: {what} in {folder} is damaged ({problem}) and is made again", stacklevel=3)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        make(made)
        files = {path.name: sha256_file(path) for path in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json_text(files, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            if not damage(folder):  # made by another process meanwhile, which may be reading it
                return folder
            shutil.rmtree(folder)
        replace_folder(made, folder)
    return folder


def damage(folder: Path, *, hash_anyway: bool = False) -> str:
    """What is wrong with an unpacked model, in words; empty where nothing is."""
    try:
        files: dict[str, str] = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(files, dict):
            return f"{MANIFEST} lists no files"
        stamps = {name: stamp(folder / name) for name in files}
        if not hash_anyway and stamps == _last_stamps(folder):
            return ""
        wrong = [name for name, digest in files.items() if sha256_file(folder / name) != digest]
    except (OSError, ValueError) as error:
        return str(error)
    if wrong:
        return f"{wrong[0]} has changed"
    with suppress(OSError):  # a cache that cannot be written to is only slower
        write_text(folder / STAMPS, json_text(stamps, indent=2) + "\n")
    return ""


def stamp(path: Path) -> list[int]:
    """Size in bytes and time of change in nanoseconds."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _last_stamps(folder: Path) -> dict[str, list[int]]:
    try:
        values: dict[str, list[int]] = parse_json((folder / STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values
