"""Where a decoder keeps its layers, and which of their modules can carry fast weights. Knows nothing about LoRA.

The families differ in names only: the decoder layers are the longest `ModuleList` of the model, and the MLP's output projection is found by
a short table. A model that fits neither is refused with the names that it does have.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from nrem.memory.errors import ModelError, UsageError

MLP_OUTPUT = ("mlp.down_proj", "mlp.c_proj", "mlp.dense_4h_to_h", "mlp.fc2", "fc2")
"""Llama, Qwen, Gemma, Mistral, SmolLM; GPT-2; GPT-NeoX; Phi; OPT."""


@dataclass(frozen=True)
class Targets:
    """The modules that carry fast weights, by full name: (d_in, d_out, device)."""

    shapes: dict[str, tuple[int, int, torch.device]]
    transposed: bool


def layers_name(model: nn.Module) -> str:
    """The full name of the list of decoder layers, such as `model.layers` or `transformer.h`."""
    lists = [(len(module), name) for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise ModelError(f"{type(model).__name__} has no list of layers: nrem needs a decoder made of a ModuleList of blocks")
    return max(lists, key=lambda item: (item[0], -len(item[1])))[1]


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers, lowest first."""
    layers = model.get_submodule(layers_name(model))
    assert isinstance(layers, nn.ModuleList)
    return layers


def lowest_layer(model: nn.Module, names: Iterable[str]) -> int:
    """The index of the lowest decoder layer that holds one of the named modules."""
    prefix = layers_name(model) + "."
    return min(_layer_of(name, prefix) for name in names)


def find_targets(model: nn.Module, target: str, first_layer: int) -> Targets:
    """The modules whose name ends in `target` in the layers from `first_layer` up; "auto" is the MLP's output projection, "" every one.

    Several names are joined by commas: `down_proj,o_proj`. Raises `UsageError` with the names that there are when one matches nothing.
    """
    prefix = layers_name(model) + "."
    linear = {name: module for name, module in model.named_modules() if name.startswith(prefix) and _is_linear(module)}
    high = [name for name in linear if _layer_of(name, prefix) >= first_layer]
    if not target:
        return _targets(linear, high)
    suffixes = MLP_OUTPUT if target == "auto" else target.split(",")
    found = {suffix: [name for name in high if name.endswith("." + suffix)] for suffix in suffixes}
    wanted = [suffix for suffix in found if found[suffix]][:1] if target == "auto" else suffixes
    if missing := [suffix for suffix in wanted or [target] if not found.get(suffix)]:
        kinds = ", ".join(sorted({name.removeprefix(prefix).split(".", 1)[1] for name in linear}))
        raise UsageError(f"fast_weights.target: no module ends in {missing[0]!r}; this model has {kinds}: name one of them")
    return _targets(linear, [name for name in high if any(name in found[suffix] for suffix in wanted)])


def _targets(linear: Mapping[str, nn.Module], chosen: Sequence[str]) -> Targets:
    shapes = {name: (*_shape(linear[name]), next(linear[name].parameters()).device) for name in chosen}
    return Targets(shapes, any(isinstance(linear[name], Conv1D) for name in chosen))


def cache_bytes(model: Any) -> int:
    """Bytes of the attention cache of one token at two bytes a value: keys and values of every layer."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * 2 * int(heads) * int(head_dim) * len(decoder_layers(model))


def adapted_module(model: nn.Module, name: str, d_in: int, d_out: int) -> nn.Module:
    """The module that carries the fast weights `name`; raises `ModelError` where it is missing or of another shape."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        raise ModelError(f"fast weights: the model has no module {name}; load the base model that they were made for") from None
    if _shape(module) != (d_in, d_out):
        raise ModelError(f"fast weights: {name} maps {_shape(module)} features, expected {(d_in, d_out)}; load their own base model")
    return module


def _layer_of(name: str, prefix: str) -> int:
    return int(name.removeprefix(prefix).split(".")[0])


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, Conv1D) or hasattr(module, "in_features")


def _shape(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, Conv1D):
        d_in, d_out = module.weight.shape
        return int(d_in), int(d_out)
    return int(module.in_features), int(module.out_features)  # type: ignore[arg-type]
