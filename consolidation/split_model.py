"""A model run in two parts: the layers below the fast weights once per text, the layers above them at every pass.

Works on any decoder of transformers without knowing its family: the model's own `forward` prepares masks and positions, and only the layers
below the cut are replaced, for the time of the call, by one that hands out the stored activations. The output head is computed at the
selected positions only. Knows nothing about what is read or written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from nrem.memory.layers import decoder_layers


class _StopForward(Exception):
    """Raised at the cut: the lower part is done."""


class SplitModel:
    """`lower` and `upper` parts of `model`, cut below decoder layer `cut`; cut 0 means that nothing is reused."""

    def __init__(self, model: PreTrainedModel, cut: int) -> None:
        self.model = model
        self.cut = cut
        self.layers = decoder_layers(model)

    @torch.no_grad()
    def lower(self, ids: Int[Tensor, "batch token"], mask: Int[Tensor, "batch token"]) -> Float[Tensor, "batch token d"] | None:
        """Activations that enter layer `cut`; None where the cut is 0."""
        if self.cut == 0:
            return None
        found: list[Tensor] = []

        def stop(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            found.append(args[0] if args else kwargs["hidden_states"])
            raise _StopForward

        handle = self.layers[self.cut].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model(input_ids=ids, attention_mask=mask, use_cache=False)
        except _StopForward:
            pass
        finally:
            handle.remove()
        return found[0]

    def upper(
        self,
        ids: Int[Tensor, "batch token"],
        mask: Int[Tensor, "batch token"],
        lower: Float[Tensor, "batch token d"] | None,
        select: Bool[Tensor, "batch token"],
    ) -> Float[Tensor, "selected vocab"]:
        """Logits at the selected positions, row by row; differentiable with respect to attached fast weights."""
        with self._lower_replaced(lower), self._head_at(select):
            logits: Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return logits

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
    def _head_at(self, select: Tensor) -> Iterator[None]:
        head = self.model.get_output_embeddings()

        def pick(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (args[0][select], *args[1:])

        handle = head.register_forward_pre_hook(pick)
        try:
            yield
        finally:
            handle.remove()


def _skip(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def _hand_out(lower: Tensor) -> Callable[..., Tensor]:
    def forward(*args: Any, **kwargs: Any) -> Tensor:
        return lower

    return forward
