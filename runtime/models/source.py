"""Which model a name means: the default one, a folder, a `.gguf` file or a Hugging Face id; what cannot be meant is refused.

Imports no model library, so that a wrong name or setting is refused before one is waited for.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nrem.memory.arguments import check_kind
from nrem.memory.errors import ModelError, UsageError
from nrem.memory.saved.there import is_dir, is_file

DEFAULT = "smollm2-135m"
DTYPES = {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp32": "float32",
    "float32": "float32",
    "fp16": "float16",
    "float16": "float16",
}
"""What a float type may be called, and its name in torch."""

_SNAPSHOT = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})")


@dataclass(frozen=True)
class ModelSource:
    """Where a base model comes from."""

    kind: Literal["default", "folder", "gguf", "hub"]
    name: str

    @property
    def path(self) -> Path:
        return Path(self.name)


def find_source(name: str = DEFAULT, load_in: str | None = None, dtype: str = "auto") -> ModelSource:
    """What a name means. Raises `UsageError` for a wrong `dtype` or `load_in`, and `ModelError` for a name that means nothing."""
    check_kind("name", name, str, "a model's name, folder or .gguf file")
    check_kind("dtype", dtype, str, "auto or a float type")
    if dtype != "auto" and dtype not in DTYPES:
        raise UsageError(f"dtype: got {dtype!r}, expected auto or one of {', '.join(DTYPES)}")
    if load_in not in (None, "", "4bit", "8bit"):
        raise UsageError(f"load_in: got {load_in!r}, expected 4bit, 8bit or nothing")
    if name == DEFAULT:
        return ModelSource("default", name)
    if name.lower().endswith(".gguf"):
        if load_in:
            raise UsageError(f"load_in: {name} is a GGUF file with its own packing; load it without load_in")
        if not is_file(name):
            raise ModelError(f"{name}: no such GGUF file; give the path of an existing one")
        return ModelSource("gguf", name)
    if is_dir(name):
        if not (Path(name) / "config.json").exists():
            raise ModelError(f"{name}: no config.json in this folder; name a transformers model folder, a .gguf file or a Hugging Face id")
        return ModelSource("folder", name)
    if is_file(name):
        raise ModelError(f"{name}: is a file, expected a model's folder or a .gguf file; name the folder that it lies in")
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise ModelError(f"{name}: no such folder or file, and not a Hugging Face id (owner/name); name one of these or {DEFAULT}")
    return ModelSource("hub", name)


def known_elsewhere(folder: Path) -> tuple[str, str]:
    """What others load a model in a folder by: Hugging Face id and revision where it lies in a cache of the hub, else its absolute path.

    The id that a `config.json` may hold is not asked: it is as a rule that of the model which this one was trained from.
    """
    path = folder.resolve()
    if found := _SNAPSHOT.search(path.as_posix()):
        owner, name, revision = found.groups()
        return f"{owner}/{name}", revision
    return str(path), ""
