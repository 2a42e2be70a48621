"""The journal of an unfinished run: its last checkpoint, whole, whenever the process dies. Gone when the run is finished.

A checkpoint is one safetensors file: tensors, and the plain values as JSON in its header, so that a single rename commits both.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.atomic import new_file_mode, sync_file, sync_folder
from nrem.memory.saved.files import EVENTS, RESUME
from nrem.memory.saved.own import of_journal
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
        path = self.folder / EVENTS
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(event, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def events(self) -> list[dict[str, Any]]:
        """All whole lines; a torn last one is left out."""
        path = self.folder / EVENTS
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def checkpoint(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Replace the last checkpoint."""
        temporary = self.folder / f".{RESUME}.tmp"
        values = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
        save_file(values, temporary, metadata={"format": "pt", "state": json.dumps(state)})
        temporary.chmod(new_file_mode())
        sync_file(temporary)
        os.replace(temporary, self.folder / RESUME)
        sync_folder(self.folder)

    def latest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """The last checkpoint, or None where there is none yet."""
        path = self.folder / RESUME
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                return state, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        except Exception as error:
            raise MemoryFolderError(f"{path}: the checkpoint is damaged ({error}); start again with --force") from error

    def remove(self) -> list[str]:
        """The run is finished: nothing of it is needed any more. Returns what was kept, since it is somebody else's."""
        return delete_folder(self.folder, of_journal) if self.folder.exists() else []
