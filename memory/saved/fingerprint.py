"""Fingerprints of a loaded model: hashes of its configuration, weights and tokenizer, which make a `BaseIdentity`."""

import hashlib
import json
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.sampled import Sampled, sampled

VOLATILE = (
    "_name_or_path",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "quantization_config",
    "_attn_implementation",
    "use_cache",
)
"""Keys of a configuration that change without changing the model; saving one adds `architectures`."""


def identify(model: nn.Module, tokenizer: Any, name: str, revision: str = "", source: str = "") -> BaseIdentity:
    """Hash a loaded model and its tokenizer (no fast weights attached, or they do not count: they live outside the model)."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in VOLATILE}  # type: ignore[operator,union-attr]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    template = getattr(tokenizer, "chat_template", None) or ""
    return BaseIdentity(
        name=name,
        revision=revision,
        config_sha256=_sha256(json.dumps(config, sort_keys=True, default=str).encode()),
        weights_sha256=weights_sha256(model),
        tokenizer_sha256=_sha256(vocabulary.encode()),
        chat_template_sha256=_sha256(template.encode()) if template else "",
        dtype=str(model.dtype).removeprefix("torch."),
        source=source,
    )


class _Known(NamedTuple):
    """What was found of a model object."""

    digest: str
    then: Sampled
    """How it looked when it was hashed."""
    rounded: bool = False
    """Run in a float type that its weights were rounded to; they were hashed before, and cannot be hashed again."""


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def weights_sha256(model: nn.Module, *, fresh: bool = False) -> str:
    """Hash of all weights as bfloat16, so that one model in two float types is one model; packed weights count as stored.

    Remembered per model object, since hashing reads every weight, and taken again where a look at some of them (`sampled`) finds that they
    were changed in place; `fresh` hashes again anyway, to prove that nothing was touched.
    """
    known, now = _known.get(model), sampled(model)
    same = known is not None and (known.then == now or (known.rounded and known.then.values == now.values))
    if known is None or fresh or not same:
        known = _known[model] = _Known(_hash(model), now)
    return known.digest


def keep_rounded(model: nn.Module) -> None:
    """The weights of a hashed model were just rounded to another float type: it stays the model that it was."""
    _known[model] = _Known(_known[model].digest, sampled(model), rounded=True)


def _hash(model: nn.Module) -> str:
    digest, seen = hashlib.sha256(), set()
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.data_ptr() in seen and tensor.numel():  # tied weights count once
            continue
        seen.add(tensor.data_ptr())
        values = tensor.detach().to(torch.bfloat16) if tensor.is_floating_point() else tensor.detach()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.cpu().contiguous().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
