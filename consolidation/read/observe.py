"""Reading a text with whatever is attached: what enters the adapted modules, hidden states, prediction errors and losses, for the rules.

Axes: batch (texts), token (padded on the right), d (width of the residual stream). Knows nothing about keys or what is written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nrem.consolidation.read.split_model import SplitModel

NORMAL_MEDIAN = 0.6745
"""Median absolute value of a standard normal distribution."""
HEAD_BLOCK = 512
"""Tokens whose probabilities over the vocabulary are held at once."""


class Texts(NamedTuple):
    """Token ids of several texts, padded on the right."""

    ids: Int[Tensor, "batch token"]
    mask: Int[Tensor, "batch token"]
    written: Float[Tensor, "batch token"] | None = None
    """How strongly each token is written, at most, and 0 where errors need not be taken; None: 1 wherever a token follows."""

    @classmethod
    def pad(cls, rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> "Texts":
        width = max(len(row) for row in rows)
        ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        return cls(ids.to(device), mask.to(device))

    def rows(self, chosen: Int[Tensor, " row"]) -> "Texts":
        """These texts, as wide as before."""
        return Texts(*(None if part is None else part[chosen] for part in self))  # type: ignore[arg-type]

    @property
    def has_next(self) -> Bool[Tensor, "batch token"]:
        """Where a token follows that can be predicted."""
        return torch.cat([self.mask[:, 1:], torch.zeros_like(self.mask[:, :1])], 1).bool()

    @property
    def strength(self) -> Float[Tensor, "batch token"]:
        """How strongly each token is written, at most; 0 at padding and where no token follows."""
        return self.has_next.float() if self.written is None else self.written


@dataclass(frozen=True)
class Seen:
    """What reading left at every token, both at unit scale; `valid` is 1, or how strongly a token is written at most, and 0 at padding and
    at the last token."""

    hidden: Float[Tensor, "batch token d"]
    error: Float[Tensor, "batch token d"]
    valid: Float[Tensor, "batch token"]


class Observation(NamedTuple):
    """One reading of a batch of texts."""

    inputs: dict[str, Tensor]
    """What entered each adapted module, (batch token d_in)."""
    seen: Seen
    loss: Float[Tensor, " batch"]
    """Mean next-token loss, nats per token, of each text."""

    @classmethod
    def joined(cls, parts: Sequence["Observation"]) -> "Observation":
        """The texts of several readings of equal width, one reading behind another."""
        seen = Seen(*(torch.cat([getattr(part.seen, key) for part in parts]) for key in ("hidden", "error", "valid")))
        inputs = {name: torch.cat([part.inputs[name] for part in parts]) for name in parts[0].inputs}
        return cls(inputs, seen, torch.cat([part.loss for part in parts]))

    def rows(self, chosen: Int[Tensor, " row"]) -> "Observation":
        """These texts, in this order."""
        seen = Seen(self.seen.hidden[chosen], self.seen.error[chosen], self.seen.valid[chosen])
        return Observation({name: x[chosen] for name, x in self.inputs.items()}, seen, self.loss[chosen])

    def row(self, number: int, length: int) -> "Observation":
        """One text by itself, without padding: what it leaves must not depend on its neighbours' length."""
        rows, tokens = slice(number, number + 1), slice(length)
        seen = Seen(*(t[rows, tokens] for t in (self.seen.hidden, self.seen.error, self.seen.valid)))
        return Observation({name: x[rows, tokens] for name, x in self.inputs.items()}, seen, self.loss[rows])


def observe(
    split: SplitModel, texts: Texts, lower: Tensor | None, names: Sequence[str], vocabulary: int = 0, *, keys_only: bool = False
) -> Observation:
    """Read the texts once, from their activations below the cut; `vocabulary` as in `prediction_error`. With `keys_only` gradients run
    through what enters the modules, and not through what reading leaves."""
    with _inputs_of(split.model, names) as inputs:
        hidden = split.hidden(texts.ids, texts.mask, lower)
    hidden = hidden.detach() if keys_only else hidden
    valid = texts.strength
    error, loss = prediction_error(split.model.get_output_embeddings(), hidden, texts.ids.roll(-1, 1), valid.bool(), vocabulary)
    unit = F.rms_norm(hidden.float(), hidden.shape[-1:])
    counts = valid.bool().float()
    mean_loss = (loss * counts).sum(1) / counts.sum(1).clamp_min(1)
    return Observation(inputs, Seen(unit, error, valid), mean_loss)


def next_token_loss(
    split: SplitModel, texts: Texts, lower: Tensor | None, vocabulary: int = 0
) -> tuple[Float[Tensor, "batch token"], Bool[Tensor, "batch token"]]:
    """-log p of the token that follows, where one does, and where that is; as in `prediction_error`, but differentiable in what is
    attached."""
    head, valid = split.model.get_output_embeddings(), texts.has_next
    hidden = split.hidden(texts.ids, texts.mask, lower)
    goal, size = texts.ids.roll(-1, 1)[valid], _size(head, vocabulary)
    loss = F.cross_entropy(_logits(head, hidden[valid], goal, size).float(), goal.clamp_max(size), reduction="none")
    return torch.zeros(texts.ids.shape, device=hidden.device).masked_scatter(valid, loss), valid


class Traffic(NamedTuple):
    """What goes through the adapted modules, by name."""

    inputs: dict[str, Tensor]
    """What enters, (token d_in)."""
    units: dict[str, float]
    """How large what leaves is: the standard deviation of a normal distribution that has its median absolute value. A few channels of some
    layers are a hundred times larger than the rest, and must not set the scale."""


@torch.no_grad()
def module_traffic(split: SplitModel, texts: Texts, names: Sequence[str]) -> Traffic:
    """When the base model reads these texts, nothing attached; padding left out."""
    with _inputs_of(split.model, names) as found:
        split.hidden(texts.ids, texts.mask, split.lower(texts.ids, texts.mask))
    inputs = {name: x[texts.mask.bool()] for name, x in found.items()}
    units = {name: float(split.model.get_submodule(name)(x).float().abs().median()) / NORMAL_MEDIAN for name, x in inputs.items()}
    return Traffic(inputs, units)


def prediction_error(
    head: Any,
    hidden: Float[Tensor, "batch token d"],
    targets: Int[Tensor, "batch token"],
    valid: Bool[Tensor, "batch token"],
    vocabulary: int = 0,
) -> tuple[Float[Tensor, "batch token d"], Float[Tensor, "batch token"]]:
    """E[x] - sum_j p(j) E[j] at every valid token, in units of the embeddings' root mean square, and the loss -log p(x); 0 elsewhere.

    p is over the first `vocabulary` tokens and x itself (0: over all). Tokenizers number tokens by frequency, and most of what the whole
    vocabulary costs, as much as the upper layers, would be spent on tokens that are almost never expected. Exact for heads that are one
    matrix (with or without a bias); a soft cap on the logits is not differentiated.
    """
    E, goal, scale = head.weight, targets[valid], _root_mean_square(head)
    size = _size(head, vocabulary)
    likely = E[:size]
    errors, losses = [], []
    for h, x in zip(hidden[valid].split(HEAD_BLOCK), goal.split(HEAD_BLOCK), strict=True):
        p = torch.softmax(_logits(head, h, x, size), -1)
        expected = p[:, :size] @ likely + p[:, size:] * E[x]
        errors.append((E[x] - expected).float() / scale)
        losses.append(-p.gather(1, x[:, None].clamp_max(size))[:, 0].float().clamp_min(1e-9).log())
    error = torch.zeros(hidden.shape, device=hidden.device).masked_scatter(valid[..., None], torch.cat(errors))
    return error, torch.zeros(targets.shape, device=hidden.device).masked_scatter(valid, torch.cat(losses))


def _size(head: Any, vocabulary: int) -> int:
    return min(vocabulary or len(head.weight), len(head.weight))


def _logits(
    head: Any, hidden: Float[Tensor, "selected d"], targets: Int[Tensor, " selected"], size: int
) -> Float[Tensor, "selected likely_and_own"]:
    """Logits of the first `size` tokens, and of the target itself behind them, where it is none of these."""
    E, bias = head.weight, head.bias[:size] if head.bias is not None else None
    own = (hidden * E[targets]).sum(-1, keepdim=True) + (head.bias[targets][:, None] if bias is not None else 0)
    return torch.cat([F.linear(hidden, E[:size], bias), own.masked_fill(targets[:, None] < size, -torch.inf)], -1)


_scales: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def _root_mean_square(head: nn.Module) -> float:
    """Of the output embeddings' entries; remembered, since reading them all at every pass would cost a twentieth of it."""
    if head not in _scales:
        _scales[head] = float(head.weight.float().pow(2).mean().sqrt())  # type: ignore[operator]
    return _scales[head]


@contextmanager
def _inputs_of(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            found[name] = args[0]

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
