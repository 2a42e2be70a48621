"""The budget of a night: what each operation costs in FET, and the ledger that every one of them is debited to.

1 FET (forward-equivalent token) is the FLOPs of one forward token through the frozen base at zero context length, `2 N` with N the weights
used in matrix products, output head included and input embedding not (`research`: Snell 2408.03314 charges no estimator; we charge all).
Knows nothing about what is computed.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from transformers import PreTrainedModel

from nrem.memory.errors import BudgetError
from nrem.memory.weights.layers import decoder_layers


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """FLOPs of one model's parts; the results of all methods are in FET."""

    layer_weights: float
    """Weights used in matrix products in one decoder layer (mean over the layers)."""
    head_weights: float
    num_layers: int
    attention_width: int
    """Width of the concatenated heads: queries times keys and weights times values cost 4 x this FLOPs per pair of tokens."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Self:
        """Count the weights of a model's linear layers. Packed 4-bit weights count by their features, not by their storage."""
        layers = decoder_layers(model)
        weights = sum(_matmul_weights(module) for layer in layers for module in layer.modules())
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            layer_weights=weights / len(layers),
            head_weights=_matmul_weights(model.get_output_embeddings()),
            num_layers=len(layers),
            attention_width=heads * head_dim,
        )

    @property
    def flops_per_fet(self) -> float:
        return 2 * (self.layer_weights * self.num_layers + self.head_weights)

    def forward(self, tokens: float, context: float, *, layers: int | None = None, head_tokens: float | None = None) -> float:
        """Tokens through `layers` layers (default all), attending to `context` tokens on average, and a head at `head_tokens` (all)."""
        depth = self.num_layers if layers is None else layers
        flops = 2 * self.layer_weights * depth * tokens + 4 * depth * self.attention_width * tokens * context
        flops += 2 * self.head_weights * (tokens if head_tokens is None else head_tokens)
        return flops / self.flops_per_fet

    def backward(self, tokens: float, context: float, *, layers: int, head_tokens: float, adapter_weights: float) -> float:
        """Back through `layers` frozen layers and the head: the activations' gradients cost as much as the forward pass (attention twice),
        the frozen weights none, the adapter twice its forward FLOPs."""
        flops = 2 * self.layer_weights * layers * tokens + 8 * layers * self.attention_width * tokens * context
        flops += 2 * self.head_weights * head_tokens + 4 * adapter_weights * tokens
        return flops / self.flops_per_fet

    def adapter(self, tokens: float, adapter_weights: float) -> float:
        """The forward FLOPs of the low-rank factors."""
        return 2 * adapter_weights * tokens / self.flops_per_fet


def _matmul_weights(module: Any) -> int:
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return int(module.in_features) * int(module.out_features)
    if hasattr(module, "nf") and hasattr(module, "nx"):  # GPT-2's Conv1D
        return int(module.nx) * int(module.nf)
    return 0


@dataclass
class Ledger:
    """What was spent, by kind of work, and the caps: FET are known before the work, seconds are looked at between passes."""

    limit_fet: float | None = None
    limit_seconds: float | None = None
    fet: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("limit_fet", "limit_seconds"):
            if (value := getattr(self, name)) is not None and not 0 <= value < float("inf"):  # NaN would be no limit
                raise BudgetError(f"budget: {name} is {value}, expected a finite number from 0, or nothing for no cap")

    @property
    def total_fet(self) -> float:
        return sum(self.fet.values())

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def remaining_fet(self) -> float:
        return float("inf") if self.limit_fet is None else self.limit_fet - self.total_fet

    @property
    def limited(self) -> bool:
        """Whether there is a cap."""
        return self.limit_fet is not None or self.limit_seconds is not None

    def affords(self, fet: float) -> bool:
        """Whether work of this size still fits under the caps, at the seconds per FET that were seen so far."""
        if self.limit_seconds is not None:
            seconds = fet * self.total_seconds / max(self.total_fet, 1.0)
            if self.total_seconds + seconds > self.limit_seconds:
                return False
        return fet <= self.remaining_fet

    @contextmanager
    def debit(self, kind: str, fet: float) -> Iterator[None]:
        """Charge `fet` and the seconds of the block to `kind`, before the work is done; raises `BudgetError` rather than exceed the cap."""
        if fet > self.remaining_fet:
            raise BudgetError(
                f"budget: {kind} needs {fet:,.0f} FET, {self.remaining_fet:,.0f} of {self.limit_fet:,.0f} are left: raise the budget"
            )
        self.fet[kind] = self.fet.get(kind, 0.0) + fet
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[kind] = self.seconds.get(kind, 0.0) + time.perf_counter() - start

    def state(self) -> dict[str, dict[str, float]]:
        return {"fet": dict(self.fet), "seconds": dict(self.seconds)}

    def restore(self, state: dict[str, dict[str, float]]) -> None:
        self.fet, self.seconds = dict(state["fet"]), dict(state["seconds"])


class Budget(NamedTuple):
    """A hard cap on everything that a memory computes; 0 for none."""

    fet: float = 0.0
    seconds: float = 0.0


_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?\s*(fet|s)?")


def parse_budget(text: str, name: str = "--budget") -> Budget:
    """A budget such as `400k`, `400kFET`, `1.5M`, `250000` or `90s`; raises `BudgetError` with the accepted forms, calling it by `name`.

    >>> parse_budget("400kFET"), parse_budget("90s")
    (Budget(fet=400000.0, seconds=0.0), Budget(fet=0.0, seconds=90.0))
    """
    number = text.strip().replace("_", "").lower()
    if "," in number and _THOUSANDS.fullmatch(number) is None:
        raise BudgetError(f"{name}: got {text[:60]!r}, whose comma may be a decimal mark; write 1.5k, or 1,500 with groups of three digits")
    number = number.replace(",", "")
    seconds = number.endswith("s")
    number = number.removesuffix("s").removesuffix("fet").strip()
    factor = 1.0 if seconds else {"k": 1e3, "m": 1e6, "g": 1e9}.get(number[-1:], 1.0)
    try:
        value = float(number[:-1] if factor != 1.0 else number) * factor
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise BudgetError(f"{name}: got {text[:60]!r}, expected a number above 0 of FET or seconds, such as 400kFET, 1.5M or 90s")
    return Budget(seconds=value) if seconds else Budget(fet=value)
