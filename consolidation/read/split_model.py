"""A model run in two parts: the layers below the fast weights once per text, the layers above them at every pass.

Works on any decoder of transformers without knowing its family: the model's own `forward` prepares masks and positions, and only the layers
below the cut are replaced, for the time of the call, by one that hands out the stored activations. The output head is computed at the
selected positions only, and a prefix that all rows share is read once per batch, through the public cache. Knows nothing about what is
read or written.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from nrem.consolidation.read.masks import Mask
from nrem.memory.weights.layers import decoder_layers


class _StopForward(Exception):
    """Raised at the cut: the lower part is done."""


@dataclass(frozen=True)
class _Prefix:
    """What lies below the cut for a shared prefix; it does not depend on the fast weights."""

    ids: Int[Tensor, "1 token"]
    lower: Float[Tensor, "1 token d"] | None
    keys_values: list[tuple[Tensor, Tensor]]


class SplitModel:
    """`lower` and `upper` parts of `model`, cut below decoder layer `cut`; cut 0 means that nothing is reused."""

    def __init__(self, model: PreTrainedModel, cut: int) -> None:
        self.model = model
        self.cut = cut
        self.layers = decoder_layers(model)
        self._cache_name = cache_argument(model)
        self._prefixes: dict[tuple[int, ...], _Prefix] = {}

    @property
    def longest_prefix(self) -> int:
        """Longest prefix that rows can share, tokens: a sliding window must hold all of it."""
        return int(getattr(self.model.config.get_text_config(), "sliding_window", None) or 4096) - 1

    @torch.no_grad()
    def lower(
        self, ids: Int[Tensor, "batch token"], mask: Int[Tensor, "batch token"], prefix: tuple[int, ...] = ()
    ) -> Float[Tensor, "batch token d"] | None:
        """Activations that enter layer `cut`, for rows that follow `prefix`; None where the cut is 0."""
        if self.cut == 0:
            return None
        cache = DynamicCache(config=self.model.config)
        if prefix:
            self._fill_lower(cache, self._prefix(prefix))
            cache.batch_repeat_interleave(len(ids))
        return self._stop_at_cut(ids, _with_prefix(mask, len(prefix)), cache)

    def upper(
        self,
        ids: Int[Tensor, "batch token"],
        mask: Int[Tensor, "batch token"],
        lower: Float[Tensor, "batch token d"] | None,
        select: Bool[Tensor, "batch token"],
        prefix: tuple[int, ...] = (),
    ) -> Float[Tensor, "selected vocab"]:
        """Logits at the selected positions, row by row; differentiable with respect to attached fast weights."""
        cache = DynamicCache(config=self.model.config)
        if prefix:
            known = self._prefix(prefix)
            nowhere = torch.zeros_like(known.ids, dtype=torch.bool)
            self._forward(known.ids, torch.ones_like(known.ids), known.lower, nowhere, cache)
            self._fill_lower(cache, known)
            cache.batch_repeat_interleave(len(ids))
        return self._forward(ids, _with_prefix(mask, len(prefix)), lower, select, cache)

    def hidden(
        self, ids: Int[Tensor, "batch token"], mask: Int[Tensor, "batch token"], lower: Float[Tensor, "batch token d"] | None
    ) -> Float[Tensor, "batch token d"]:
        """What enters the output head, at every token; for those who compute the head themselves."""
        found: list[Tensor] = []

        def stop(module: Any, args: tuple[Tensor, ...]) -> None:
            found.append(args[0])
            raise _StopForward

        handle = self.model.get_output_embeddings().register_forward_pre_hook(stop)
        try:
            with self._lower_replaced(lower), suppress(_StopForward):
                self.model(input_ids=ids, attention_mask=mask, use_cache=False)
        finally:
            handle.remove()
        return found[0]

    def whole(
        self,
        ids: Int[Tensor, "batch token"],
        mask: Mask,
        positions: Int[Tensor, "batch token"],
        select: Bool[Tensor, "batch token"],
    ) -> Float[Tensor, "selected vocab"]:
        """Logits at the selected positions of rows that are read in one go, cut or no cut; `mask` is added to the scores of attention."""
        with head_at(self.model, select):
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
        return logits

    def _forward(self, ids: Tensor, mask: Tensor, lower: Tensor | None, select: Tensor, cache: DynamicCache) -> Tensor:
        with self._lower_replaced(lower), head_at(self.model, select):
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=True, **{self._cache_name: cache}).logits
        return logits

    @torch.no_grad()
    def _prefix(self, ids: tuple[int, ...]) -> _Prefix:
        if ids not in self._prefixes:
            row = torch.tensor([ids], device=self.model.device)
            cache = DynamicCache(config=self.model.config)
            lower = self._stop_at_cut(row, torch.ones_like(row), cache) if self.cut else None
            pairs = [(layer.keys, layer.values) for layer in cache.layers[: self.cut]]
            self._prefixes[ids] = _Prefix(row, lower, pairs)
        return self._prefixes[ids]

    @staticmethod
    def _fill_lower(cache: DynamicCache, prefix: _Prefix) -> None:
        for index, (keys, values) in enumerate(prefix.keys_values):
            cache.update(keys, values, index)

    def _stop_at_cut(self, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
        found: list[Tensor] = []

        def stop(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(args[0] if args else kwargs["hidden_states"])
            raise _StopForward

        handle = self.layers[self.cut].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with suppress(_StopForward):
                self.model(input_ids=ids, attention_mask=mask, use_cache=True, **{self._cache_name: cache})
        finally:
            handle.remove()
        return found[0]

    @contextmanager
    def _lower_replaced(self, lower: Tensor | None) -> Iterator[None]:
        if lower is None:
            yield
            return
        replaced = list(self.layers)[: self.cut]
        try:
            for layer in replaced[:-1]:
                layer.forward = _skip
            replaced[-1].forward = _hand_out(lower)
            yield
        finally:
            for layer in replaced:
                layer.__dict__.pop("forward", None)  # the class's own forward shows again


@contextmanager
def head_at(model: PreTrainedModel, select: Bool[Tensor, "batch token"]) -> Iterator[None]:
    """The output head is computed at the selected positions only: logits are (selected, vocab) meanwhile, row by row."""

    def pick(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][select], *args[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()


def cache_argument(model: PreTrainedModel) -> str:
    """The name under which this model takes an attention cache; transformers renamed it in 5.2x."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _with_prefix(mask: Tensor, length: int) -> Tensor:
    return torch.cat([mask.new_ones(len(mask), length), mask], dim=1) if length else mask


def _skip(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def _hand_out(lower: Tensor) -> Callable[..., Tensor]:
    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return lower

    return forward


def ends_layer(split: SplitModel, names: Sequence[str]) -> bool:
    """Whether the lowest layer's adapted modules stand at its end, so that gradients need not go back through any of it."""
    adapted = {split.model.get_submodule(name) for name in names}
    linear = [m for m in split.layers[split.cut].modules() if isinstance(m, Conv1D) or hasattr(m, "in_features")]
    return not adapted.intersection(linear[:-1])
