"""Changing a saved memory as a stranger would, who can compute every hash: what is then refused is refused for what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nrem.memory.saved import record_file
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.files import MEMORY


def change_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the values of `memory.json`, with the hashes that they need."""
    path = folder / MEMORY
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop(record_file.OWN_HASH, None)
    change(values)
    path.write_text(json.dumps(values | {record_file.OWN_HASH: record_file.own_hash(values)}), encoding="utf-8")


def rehash(folder: Path, *names: str) -> None:
    """Record the files' hashes as they are now."""
    change_record(folder, lambda values: values["files"].update({name: sha256_file(folder / name) for name in names}))
