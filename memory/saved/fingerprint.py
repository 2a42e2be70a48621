"""Fingerprints of a loaded model: hashes of its configuration, weights and tokenizer, which make a `BaseIdentity`."""

import hashlib
import json
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from nrem.memory.saved.identity import BaseIdentity

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


_known: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def weights_sha256(model: nn.Module, *, fresh: bool = False) -> str:
    """Hash of all weights as bfloat16, so that one model in two float types is one model; packed weights count as stored.

    Remembered per model object (hashing reads every weight); `fresh` hashes again, to prove that nothing was touched.
    """
    if fresh or model not in _known:
        digest, seen = hashlib.sha256(), set()
        for name, tensor in sorted(model.state_dict().items()):
            if tensor.data_ptr() in seen and tensor.numel():  # tied weights count once
                continue
            seen.add(tensor.data_ptr())
            values = tensor.detach().to(torch.bfloat16) if tensor.is_floating_point() else tensor.detach()
            digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
            digest.update(values.cpu().contiguous().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
        _known[model] = digest.hexdigest()
    return _known[model]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
