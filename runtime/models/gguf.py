"""GGUF files, unpacked into plain weights by transformers' own reader. Knows nothing about where models are kept."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from nrem.memory.errors import ModelError


def read_gguf(path: Path, dtype: torch.dtype | str) -> tuple[PreTrainedModel, Any]:
    """Unpack a GGUF file into plain weights."""
    if not path.is_file():
        raise ModelError(f"{path}: no such GGUF file; give the path of an existing one")
    options: dict[str, Any] = {"gguf_file": path.name, "dtype": dtype}
    try:
        from transformers import GgufConfig  # newer versions keep the weights packed unless told otherwise

        options["quantization_config"] = GgufConfig(dequantize=True)
    except ImportError:
        pass
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        model = AutoModelForCausalLM.from_pretrained(path.parent, **options)
    except Exception as error:
        raise ModelError(f"{path}: transformers cannot read this GGUF file ({first_line(error)}); convert it to a folder first") from error
    if any(not torch.isfinite(p).all() for p in model.parameters()):
        raise ModelError(f"{path}: unpacked weights are not finite; the file is damaged or of a kind that cannot be unpacked")
    return model, tokenizer


def first_line(error: BaseException) -> str:
    """What an error of a library says first, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
