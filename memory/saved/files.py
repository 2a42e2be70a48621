"""The names of the files that memories and unfinished runs consist of. Imports nothing, so that a listing is quick."""

from pathlib import Path

MEMORY = "memory.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
WRITTEN = "written.safetensors"
"""In place of the adapter's two files where a later segment shares columns with the first: what it has beside them."""
STATISTICS = "statistics.safetensors"
TEXT = "text"
TEXT_CHUNKS = "chunks.jsonl"
TEXT_INDEX = "index.safetensors"
CARD = "README.md"
SEGMENT = "segment-"
"""What the folders of the segments behind the first begin with."""

UNFINISHED = ".unfinished"
"""What the folder of a run that is not finished ends with."""
RESUME = "resume.safetensors"
EVENTS = "journal.jsonl"
SEALED = "segments"
"""The folder of what `sealed_folder` names."""


def segment_folder(memory: Path, index: int) -> Path:
    """Where a segment lies: the first one in the memory's own folder, so that PEFT opens it by itself."""
    return memory if index == 0 else memory / f"{SEGMENT}{index:04d}"


def sealed_folder(run: Path, index: int) -> Path:
    """Where an unfinished run keeps a segment that will not change any more."""
    return run / SEALED / f"{index:04d}"
