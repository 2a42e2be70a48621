"""The asker of a protocol as one file in its folder: whole or not there, and refused where it belongs to another base model.

A protocol's hash leaves it out: what an asker has dreamt is kept with each memory's text, so that memories need no asker to be changed.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nrem.consolidation.dream.asker import Asker
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, SleepError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.atomic import new_file_mode, sync_file, sync_folder
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.json_text import json_text

ASKER = "asker.safetensors"


def save_asker(folder: Path, asker: Asker, base: BaseIdentity, about: Mapping[str, Any]) -> Path:
    """Put an asker into a protocol's folder, in place of one that is there; `about` is kept as it is. Raises `SleepError` where what was
    learned is not finite."""
    tensors = asker.tensors()
    check_finite_tensors(tensors, f"{folder}: what was learned", SleepError, "nothing was saved: train again by smaller steps")
    path, made = folder / ASKER, folder / f".{ASKER}.{os.getpid()}.tmp"
    try:
        save_file(tensors, made, metadata={"format": "pt", "base": base.weights_sha256, "about": json_text(dict(about))})
        made.chmod(new_file_mode())
        sync_file(made)
        os.replace(made, path)
    finally:
        made.unlink(missing_ok=True)
    sync_folder(folder)
    return path


def load_asker(folder: Path, base: BaseIdentity, device: torch.device) -> Asker | None:
    """The asker of a folder, None where there is none. Raises `MemoryFolderError` for a damaged file, `BaseMismatchError` for another base
    model's."""
    path = folder / ASKER
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            about, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if about.get("base") != base.weights_sha256:
            raise BaseMismatchError(
                f"{path}: this asker was trained on other weights ({about.get('base', 'none')[:7]}), got {base.short()}: train one for "
                "these with nrem train-asker"
            )
        check_finite_tensors(tensors, str(path), MemoryFolderError, "restore the file, or train it again with nrem train-asker")
        return Asker.of(tensors).to(device).requires_grad_(False)
    except (SafetensorError, KeyError, IndexError, TypeError, RuntimeError, OSError) as error:
        raise MemoryFolderError(f"{path}: damaged ({error}); restore the file, or train it again with nrem train-asker") from None
