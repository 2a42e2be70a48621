"""What this machine has and whether nrem works on it: the checks of `nrem doctor`, from versions to a whole tiny night."""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from nrem.consolidation.protocol.folder import shipped
from nrem.memory.memory import Memory
from nrem.runtime.checks.check import Check
from nrem.runtime.models import default as default_model
from nrem.runtime.models.cache import cache_folder, damage
from nrem.runtime.models.dtype import ROWS, Shape, best_dtype, processor, speeds_here
from nrem.runtime.models.tiny import tiny_base, tiny_config
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session

LIBRARIES = ("torch", "transformers", "peft", "safetensors", "bm25s", "tokenizers")
SHAPE = Shape(576, 1536)
"""Of the default model."""
TEXT = "Maren Tull kept the Orrin lighthouse from 1843 to 1871. The lamp burned 60 litres of oil a night. The harbour froze in 1858."


def examine() -> Iterator[Check]:
    """Yield the checks as they are made; one that fails and is needed means that nrem does not work here."""
    yield Check(
        "python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform(terse=True)}, needed is 3.11 or newer"
    )
    for name in ("nrem", *LIBRARIES):
        yield Check(name, True, metadata.version(name))
    yield Check("processor", True, _processor())
    yield Check("float types", True, _float_types())
    yield Check("GPU", torch.cuda.is_available(), _gpu(), needed=False)
    yield _bitsandbytes()
    yield _default_model()
    yield _protocols()
    yield _night()


def _processor() -> str:
    return f"{processor()}; {platform.machine()}, {torch.get_num_threads()} threads on {os.cpu_count()} cores"


def _float_types() -> str:
    """Measured anew, and kept for all that comes: who suspects the figures asks the doctor."""
    speeds = speeds_here(SHAPE, again=True)
    many, decoding = (", ".join(f"{name} {value:.3g}" for name, value in figures.items()) for figures in (speeds.many, speeds.decoding))
    products = f"products of {ROWS} x {SHAPE.hidden} x {SHAPE.columns}: {many} GFLOP/s; of one row, as in decoding: {decoding}"
    return f"{products}; dtype auto is {str(best_dtype(SHAPE)).removeprefix('torch.')}"


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none; everything runs on the processor"
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def _bitsandbytes() -> Check:
    try:
        import bitsandbytes  # noqa: F401

        return Check("bitsandbytes", True, metadata.version("bitsandbytes"), needed=False)
    except Exception as error:  # a library that does not fit the machine raises anything
        return Check("bitsandbytes", False, f"cannot be imported ({error}); load_in 4bit and 8bit are not available", needed=False)


def _default_model() -> Check:
    folder = cache_folder() / default_model.FOLDER
    if not folder.exists():
        return Check(
            "default model", False, "not fetched yet; the first use does it, or `python -m nrem.runtime.models.load`", needed=False
        )
    if problem := damage(folder, hash_anyway=True):
        return Check("default model", False, f"{folder} is damaged ({problem}); the next use makes it again", needed=False)
    return Check("default model", True, f"{folder}, hashes right", needed=False)


def _protocols() -> Check:
    names = [folder.name for folder in shipped()]
    found = ", ".join(names) if names else "none shipped; every model sleeps by study passes, minutes instead of seconds"
    return Check("protocols", bool(names), found, needed=False)


def _night() -> Check:
    """Read, sleep, save, load and answer, with a tiny random model."""
    started = time.perf_counter()
    try:
        base, config = tiny_base(), tiny_config()
        memory = Session(base=base, config=config).stream(Document.from_text(TEXT, "text"))
        with tempfile.TemporaryDirectory(prefix="nrem-doctor-") as folder:
            loaded = Memory.load(memory.save(Path(folder) / "memory"))
            answer = Session(loaded, base=base, config=config).answer("Who kept the lighthouse?", "direct")
        passes = max(c.passes for c in loaded.record.chunks)
    except Exception as error:
        return Check("tiny night", False, f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    return Check("tiny night", passes > 0 and answer.document_tokens == 0, f"{passes} passes, saved, loaded and asked in {seconds:.1f} s")
