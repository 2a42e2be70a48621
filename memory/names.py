"""Names of files as they are shown and saved. Knows nothing about what is in the files."""

import os
from pathlib import Path


def printable(name: str | Path) -> str:
    r"""A file's name as text: bytes that are not UTF-8 stand as `\xe9`, and the locale makes no difference."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
