"""The journal of an unfinished run: its last checkpoint, whole, whenever the process dies. Gone when the run is finished.

A checkpoint is one safetensors file: tensors, and the plain values as JSON in its header, so that a single rename commits both. It holds a
hash of all that is in it, and each line of the journal one of its own: what was damaged is refused, never gone on with.
"""

import hashlib
import math
import os
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nrem.memory.errors import MemoryFolderError, SleepError
from nrem.memory.finite import check_finite_tensors, not_finite
from nrem.memory.saved.atomic import new_file_mode, sync_file, sync_folder
from nrem.memory.saved.files import EVENTS, RESUME
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.own import of_journal
from nrem.memory.saved.regular import open_regular
from nrem.memory.saved.replace import delete_folder


class Journal:
    """The folder of a run that is not finished: `journal.jsonl`, `resume.safetensors`, and the evicted text so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path, *, anew: bool = False) -> Self:
        """Go on in a folder, or begin in a new one; `anew` throws away what an earlier run left there, and nothing else."""
        if anew and folder.exists():
            delete_folder(folder, of_journal)
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def append(self, event: dict[str, Any]) -> None:
        """Write one line through to the disk, behind the last whole one."""
        path, text = self.folder / EVENTS, json_text(event, ensure_ascii=False)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(f"{_short_hash(text)} {text}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> list[dict[str, Any]]:
        """All whole lines; a torn last one is left out. Raises `MemoryFolderError`, naming the line, for one that is damaged."""
        path = self.folder / EVENTS
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
        found = []
        for number, line in enumerate(lines, 1):
            digest, _, text = line.decode("utf-8", "replace").partition(" ")
            if digest != _short_hash(text):
                raise MemoryFolderError(f"{path}: line {number} is damaged (its hash differs); start again with --force")
            found.append(parse_json(text))
        return found

    def checkpoint(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Replace the last checkpoint. Raises `SleepError` where a tensor is not finite: nobody could go on from it."""
        check_finite_tensors(tensors, "the checkpoint", SleepError, "the last one stays")
        temporary = self.folder / f".{RESUME}.tmp"
        values = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        text = json_text(state)
        save_file(values, temporary, metadata={"format": "pt", "state": text, "sha256": _hash(text, values)})
        temporary.chmod(new_file_mode())
        sync_file(temporary)
        os.replace(temporary, self.folder / RESUME)
        sync_folder(self.folder)

    def latest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The last checkpoint, or None where there is none yet. Raises `MemoryFolderError` where any bit of it has changed."""
        path = self.folder / RESUME
        if not os.path.lexists(path):
            return None
        open_regular(self.folder, RESUME).close()
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata()
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            if about["sha256"] != _hash(about["state"], tensors):
                raise ValueError("its hash differs")
            if bad := not_finite(tensors):
                raise ValueError(f"{bad} holds values that are not finite")
            state: dict[str, Any] = _with_nan(parse_json(about["state"]))
        except Exception as error:
            raise MemoryFolderError(f"{path}: the checkpoint is damaged ({error}); start again with --force") from error
        return state, tensors

    def remove(self) -> list[str]:
        """The run is finished: nothing of it is needed any more. Returns what was kept, since it is somebody else's."""
        return delete_folder(self.folder, of_journal) if self.folder.exists() else []


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _hash(text: str, tensors: dict[str, Tensor]) -> str:
    """Of the plain values and of every tensor: name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _with_nan(value: Any) -> Any:
    """In a list of numbers, `null` is a measurement that came to no number."""
    if isinstance(value, dict):
        return {key: _with_nan(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [math.nan if inside is None else _with_nan(inside) for inside in value]
    return value
