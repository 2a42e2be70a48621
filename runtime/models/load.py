"""Load a causal language model: the default one, a Hugging Face id, a local folder, or a `.gguf` file.

Run as a module, it fetches the default model and prints where it lies: `python -m nrem.runtime.models.load`.
"""

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from nrem.consolidation.text_ids import text_ids
from nrem.memory.arguments import check_kind
from nrem.memory.errors import ModelError, NremError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.fingerprint import identify, keep_rounded
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.weights.turns import turn
from nrem.runtime.models import default as default_model
from nrem.runtime.models.dtype import DTYPES, Shape, best_dtype
from nrem.runtime.models.gguf import first_line, unpacked
from nrem.runtime.models.source import DTYPES as NAMES
from nrem.runtime.models.source import ModelSource, find_source, known_elsewhere


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
        with turn(self.model):  # a tokenizer is no more for several threads at once than its model
            return len(text_ids(self.tokenizer, text))


def load(
    name: str | Path = default_model.NAME, load_in: Literal["4bit", "8bit"] | None = None, dtype: str = "auto", revision: str | None = None
) -> Base:
    """Load a model for sleeping: evaluation mode, no gradients on its weights.

    `dtype` "auto" takes the float type that this machine was measured to be fastest in, see `dtype`. Raises `UsageError` for a wrong
    `dtype` or `load_in`, `ModelError` where the model cannot be had or cannot run here.
    """
    _quiet()
    name = str(name) if isinstance(name, Path) else name
    if revision is not None:
        check_kind("revision", revision, str, "a revision of a Hugging Face id")
    place = _place(find_source(name, load_in, dtype), revision)
    wanted = best_dtype(Shape.of(_config(place))) if dtype == "auto" else DTYPES[NAMES[dtype]]
    model, tokenizer = _pretrained(place, load_in, wanted)
    base = wrap(model, tokenizer, place.name, place.revision, place.source)
    if wanted != torch.float16 or load_in:
        return base
    return _in_float16(base)


def wrap(model: PreTrainedModel, tokenizer: Any, name: str = "", revision: str = "", source: str = "") -> Base:
    """A `Base` of a model and tokenizer that the caller has already loaded; freezes the weights.

    Raises `ModelError` where a weight is not finite, and for a tokenizer without an end.
    """
    model.eval().requires_grad_(False)
    said, advice = name or type(model).__name__, "its files are damaged, or overflow in this float type: fetch it again, or take another"
    check_finite_tensors(dict(model.named_parameters()), said, ModelError, advice)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{said}: the tokenizer has no end-of-sequence token; set tokenizer.eos_token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    name = name or model.config.name_or_path or type(model).__name__
    return Base(model, tokenizer, identify(model, tokenizer, name, revision, source))


@dataclass(frozen=True)
class _Place:
    """What transformers is given, and what the model is called in a memory."""

    path_or_id: str
    name: str
    revision: str = ""
    source: str = ""
    hub_revision: str | None = None
    """Asked for of the hub; None for a folder."""


def _place(source: ModelSource, revision: str | None) -> _Place:
    if source.kind == "hub":
        return _Place(source.name, source.name, revision or "", hub_revision=revision or "main")
    if source.kind == "folder":
        return _Place(source.name, *known_elsewhere(source.path))
    if source.kind == "gguf":
        found = unpacked(source.path)
        return _Place(str(found.folder), found.hub_name or str(found.folder.resolve()), source=found.source)
    return _Place(str(default_model.default_model_folder()), default_model.HUB_NAME, source=default_model.SOURCE)


def _config(place: _Place) -> Any:
    """The configuration, before any weight is read."""
    try:
        return AutoConfig.from_pretrained(place.path_or_id, revision=place.hub_revision or "main", trust_remote_code=False)
    except Exception as error:
        if _is_ours(error):
            raise
        raise _not_found(place, error) from error


def _not_found(place: _Place, error: Exception) -> ModelError:
    if "trust_remote_code" in str(error):
        return ModelError(f"{place.path_or_id}: needs code of its own, which nrem never runs; name a model of a kind that transformers has")
    if place.hub_revision is None:
        return ModelError(f"{place.path_or_id}: transformers cannot open this folder ({first_line(error)}); save the model again")
    return ModelError(
        f"{place.path_or_id}: not found on the hub or the hub cannot be reached ({first_line(error)}); check the name and the "
        f"connection, or use a local folder or {default_model.NAME}"
    )


def _pretrained(place: _Place, load_in: str | None, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    options: dict[str, Any] = {"dtype": dtype, "revision": place.hub_revision or "main", "trust_remote_code": False}
    if torch.cuda.is_available():
        options["device_map"] = "cuda"
    if load_in:
        options["quantization_config"] = _packing(load_in, dtype)
    elif dtype == torch.float16:
        options["dtype"] = "auto"  # as the files have them; see _in_float16
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.path_or_id, revision=options["revision"], trust_remote_code=False)
        model, found = AutoModelForCausalLM.from_pretrained(place.path_or_id, output_loading_info=True, **options)
        _check_whole(place, found)
        if load_in:  # a kernel that is missing on this machine shows at the first product only
            with torch.no_grad():
                model(input_ids=torch.tensor([[0, 1]], device=model.device), use_cache=False)
    except Exception as error:
        if _is_ours(error):
            raise
        if load_in and isinstance(error, (RuntimeError, NotImplementedError, AttributeError)):
            why = f"bitsandbytes cannot run on this machine ({first_line(error)})"
            raise ModelError(f"load_in {load_in}: {why}; load without it") from error
        raise _not_found(place, error) from error
    return model, tokenizer


def _is_ours(error: Exception) -> bool:
    """A sentence already, or nothing that files are to blame for."""
    return isinstance(error, NremError) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error)


def _check_whole(place: _Place, found: dict[str, Any]) -> None:
    """transformers draws what a file lacks at random, and says so in its log only."""
    missing = sorted(found.get("missing_keys") or ())
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise ModelError(f"{place.path_or_id}: its files lack {missing[0]}{more}, which would be random; save the whole model again")


def _packing(load_in: str, dtype: torch.dtype) -> Any:
    """How bitsandbytes is to pack the weights. The only place that imports it: at import it logs which optional kernels it lacks."""
    from transformers import BitsAndBytesConfig

    logger = logging.getLogger("bitsandbytes")
    if logger.level == logging.NOTSET:  # else the user has chosen
        logger.setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise ModelError(f"load_in {load_in}: bitsandbytes is not installed; `pip install bitsandbytes`, or load without it") from None
    if load_in == "4bit":
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype, bnb_4bit_quant_type="nf4")
    return BitsAndBytesConfig(load_in_8bit=True)


def _in_float16(base: Base) -> Base:
    """The same base, run in float16. It was identified by the weights as they are stored: float16 has no room for the smallest of them, and
    a memory would not know its base again."""
    base.model.to(torch.float16)
    keep_rounded(base.model)
    return replace(base, identity=replace(base.identity, dtype="float16"))


def _quiet() -> None:
    """Keep loaders' progress bars out of the program's output; the user's own settings win."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.disable_progress_bar()
    if "TRANSFORMERS_VERBOSITY" not in os.environ:
        transformers_logging.set_verbosity_error()


if __name__ == "__main__":
    print(default_model.default_model_folder())
