"""Load a causal language model: the default one, a Hugging Face id, a local folder, or a `.gguf` file.

Run as a module, it fetches the default model and prints where it lies: `python -m nrem.runtime.models.load`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from nrem.memory.errors import ModelError, UsageError
from nrem.memory.saved.fingerprint import identify
from nrem.memory.saved.identity import BaseIdentity
from nrem.runtime.models import default as default_model
from nrem.runtime.models.gguf import first_line, read_gguf

DTYPES = {
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp32": torch.float32,
    "float32": torch.float32,
    "fp16": torch.float16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Base:
    """A frozen base model, its tokenizer, and which one it is."""

    model: PreTrainedModel
    tokenizer: Any
    identity: BaseIdentity

    @property
    def max_positions(self) -> int:
        """Longest sequence the model takes, tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or 2048)

    def count_tokens(self, text: str) -> int:
        """Tokens of running text, without any special token."""
        return len(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


def load(
    name: str = default_model.NAME, load_in: Literal["4bit", "8bit"] | None = None, dtype: str = "auto", revision: str | None = None
) -> Base:
    """Load a model for sleeping: evaluation mode, no gradients on its weights.

    `dtype` "auto" takes bfloat16 where the processor or GPU is fast at it, else float32. Raises `UsageError` for a wrong
    `dtype` or `load_in`, `ModelError` where the model cannot be had or cannot run here.
    """
    _quiet()
    if dtype != "auto" and dtype not in DTYPES:
        raise UsageError(f"dtype: got {dtype!r}, expected auto or one of {', '.join(DTYPES)}")
    if load_in not in (None, "4bit", "8bit"):
        raise UsageError(f"load_in: got {load_in!r}, expected 4bit, 8bit or nothing")
    torch_dtype = best_dtype() if dtype == "auto" else DTYPES[dtype]
    if name == default_model.NAME:
        model, tokenizer = _from_folder(default_model.default_model_folder(), load_in, torch_dtype)
        identity_name, identity_revision = default_model.HUB_NAME, default_model.REVISION
    elif name.endswith(".gguf"):
        if load_in:
            raise UsageError(f"load_in: {name} is a GGUF file with its own packing; load it without load_in")
        model, tokenizer = read_gguf(Path(name), torch_dtype)
        identity_name, identity_revision = Path(name).stem, ""
    elif Path(name).is_dir():
        model, tokenizer = _from_folder(Path(name), load_in, torch_dtype)
        identity_name, identity_revision = str(name), ""
    else:
        model, tokenizer = _from_hub(name, load_in, torch_dtype, revision)
        identity_name, identity_revision = name, revision or ""
    return wrap(model, tokenizer, identity_name, identity_revision)


def wrap(model: PreTrainedModel, tokenizer: Any, name: str = "", revision: str = "") -> Base:
    """A `Base` of a model and tokenizer that the caller has already loaded; freezes the weights."""
    model.eval().requires_grad_(False)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{name or type(model).__name__}: the tokenizer has no end-of-sequence token; set tokenizer.eos_token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Base(model, tokenizer, identify(model, tokenizer, name or model.config.name_or_path or type(model).__name__, revision))


def best_dtype() -> torch.dtype:
    """bfloat16 where this machine multiplies it faster than float32, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return torch.float32
    return torch.bfloat16 if "amx_bf16" in flags or "avx512_bf16" in flags else torch.float32


def _from_folder(folder: Path, load_in: str | None, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    if not (folder / "config.json").exists():
        raise ModelError(f"{folder}: no config.json in this folder; name a transformers model folder, a .gguf file or a Hugging Face id")
    return _pretrained(str(folder), load_in, dtype, None)


def _from_hub(name: str, load_in: str | None, dtype: torch.dtype, revision: str | None) -> tuple[PreTrainedModel, Any]:
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise ModelError(
            f"{name}: no such folder or file, and not a Hugging Face id (owner/name); name one of these or {default_model.NAME}"
        )
    try:
        return _pretrained(name, load_in, dtype, revision)
    except OSError as error:
        raise ModelError(
            f"{name}: not found on the hub or the hub cannot be reached ({first_line(error)}); check the name and the "
            f"connection, or use a local folder or {default_model.NAME}"
        ) from error


def _pretrained(name: str, load_in: str | None, dtype: torch.dtype, revision: str | None) -> tuple[PreTrainedModel, Any]:
    options: dict[str, Any] = {"dtype": dtype, "revision": revision or "main"}
    if torch.cuda.is_available():
        options["device_map"] = "cuda"
    if load_in:
        options["quantization_config"] = (
            BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype, bnb_4bit_quant_type="nf4")
            if load_in == "4bit"
            else BitsAndBytesConfig(load_in_8bit=True)
        )
        try:
            import bitsandbytes  # noqa: F401
        except ImportError:
            raise ModelError(f"load_in {load_in}: bitsandbytes is not installed; `pip install bitsandbytes`, or load without it") from None
    tokenizer = AutoTokenizer.from_pretrained(name, revision=options["revision"])
    try:
        model = AutoModelForCausalLM.from_pretrained(name, **options)
        if load_in:  # a kernel that is missing on this machine shows at the first product only
            with torch.no_grad():
                model(input_ids=torch.tensor([[0, 1]], device=model.device), use_cache=False)
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        if not load_in:
            raise
        raise ModelError(f"load_in {load_in}: bitsandbytes cannot run on this machine ({first_line(error)}); load without it") from error
    return model, tokenizer


def _quiet() -> None:
    """Keep loaders' progress bars out of the program's output; the user's own settings win."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.disable_progress_bar()
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers_logging.set_verbosity_error()


if __name__ == "__main__":
    print(default_model.default_model_folder())
