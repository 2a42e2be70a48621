"""The guard: a sleep is kept unless its probes are answered worse, in recall and in NLL, or unrelated text is read otherwise than before;
then everything is rolled back.

Measured on a short text that belongs to no document: KL(base || attached) and the ratio of perplexities, per token. How much of it is read
goes with what was slept on, so that the guard of a short document costs less than the document.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.guard_config import GuardConfig

LEAST_TOKENS = 32
"""Of the unrelated text: KL over 32 tokens was 1.1 to 1.5 times that over 256, on good adapters and on damaged ones."""
TOKENS_SLEPT = 16
"""A token of it is read for this many that were slept on."""


@dataclass(frozen=True)
class GuardReport:
    """What the guard saw."""

    kl: float
    perplexity_ratio: float
    recall_gain: float
    nll_gain: float
    """By how much the answer NLL of the held-out probes fell, nats per token."""

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


class Guard:
    """Holds the base's reading of the unrelated text and compares against it after every sleep."""

    def __init__(self, model: PreTrainedModel, unrelated: Sequence[int], config: GuardConfig, ledger: Ledger, cost: CostModel) -> None:
        self.model, self.config, self.ledger, self.cost = model, config, ledger, cost
        self.ids = torch.tensor([list(unrelated)[: config.unrelated_tokens]], device=model.device)
        self._base: Float[Tensor, "token vocab"] | None = None

    def length(self, slept: int) -> int:
        """Tokens that are read after a sleep on this many."""
        return min(self.ids.shape[1], max(LEAST_TOKENS, slept // TOKENS_SLEPT))

    def fet(self, slept: int) -> float:
        """What one reading costs after a sleep on this many tokens."""
        return self._fet(self.length(slept))

    def check(self, attached: AbstractContextManager[Any], recall_gain: float, nll_gain: float, slept: int) -> GuardReport:
        """Read the unrelated text with the fast weights of `attached`, after a sleep on this many tokens."""
        length = self.length(slept)
        if self._base is None or len(self._base) < length - 1:
            self._base = self._read(length)
        base = self._base[: length - 1]
        with attached:
            now = self._read(length)
        targets = self.ids[0, 1:length, None]
        kl = (base.exp() * (base - now)).sum(-1).mean()
        ratio = (base.gather(1, targets).mean() - now.gather(1, targets).mean()).exp()
        return GuardReport(float(kl), float(ratio), recall_gain, nll_gain)

    def objection(self, report: GuardReport) -> str:
        """Why the sleep must be rolled back; empty when it may stay."""
        c = self.config
        if not c.enabled:
            return ""
        if not report.kl <= c.max_kl:
            return f"KL to the base on unrelated text is {report.kl:.2f} nats a token, allowed {c.max_kl:g}"
        if not report.perplexity_ratio <= c.max_perplexity_ratio:
            return f"perplexity on unrelated text is {report.perplexity_ratio:.2f} times the base's, allowed {c.max_perplexity_ratio:g}"
        if report.recall_gain < c.min_recall_gain and report.nll_gain <= 0:
            return (
                f"probe recall changed by {report.recall_gain:+.2f}, required {c.min_recall_gain:+g}, "
                f"and the NLL of the probes' answers by {-report.nll_gain:+.2f}"
            )
        return ""

    @torch.no_grad()
    def _read(self, length: int) -> Float[Tensor, "token vocab"]:
        with self.ledger.debit("guard", self._fet(length)):
            return torch.log_softmax(self.model(input_ids=self.ids[:, :length], use_cache=False).logits[0, :-1].float(), -1)

    def _fet(self, length: int) -> float:
        return self.cost.forward(length, length / 2)
