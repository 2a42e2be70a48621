"""Live context: text read through the bare base model as it comes in, and how surprising each token was.

The cache holds what stands in the window; an eviction drops it. Knows nothing about chunks or memories.
"""

import math

import torch
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import cache_argument
from nrem.memory.errors import SleepError
from nrem.runtime.models.load import Base


class LiveContext:
    """What the base model has before its eyes."""

    def __init__(self, base: Base, protocol: Protocol, ledger: Ledger) -> None:
        self.base, self.protocol, self.ledger = base, protocol, ledger
        self.cost = CostModel.of(base.model)
        self._cache_name = cache_argument(base.model)
        self._cache: DynamicCache | None = None
        self._last_logits: Tensor | None = None

    def drop(self) -> None:
        """Begin anew: what was read has left the window."""
        self._cache = self._last_logits = None

    @property
    def empty(self) -> bool:
        """Whether nothing was read since."""
        return self._cache is None

    @torch.no_grad()
    def read(self, text: str, *, required: bool) -> list[float]:
        """Read text behind what was read before; surprisals in nats, one a token. Where it is not `required` and the budget does not afford
        it, nothing is read, and there are none.

        A window begins with the start token, as a base model's texts do: without it the first tokens look far harder than they are.
        """
        ids = self.protocol.plain_ids(text, start=self._cache is None)
        if not ids:
            return []
        if self._cache is None:
            self._cache, self._last_logits = DynamicCache(config=self.base.model.config), None
        seen = self._cache.get_seq_length()
        tokens = torch.tensor([ids], device=self.base.model.device)
        fet = self.cost.forward(len(ids), seen + len(ids) / 2)
        if not required and not self.ledger.affords(fet):  # sleeps have spent the budget: the rest is kept as text only
            self.drop()
            return []
        with self.ledger.debit("reading", fet):
            logits = self.base.model(input_ids=tokens, use_cache=True, **{self._cache_name: self._cache}).logits[0].float()
        known = logits[:-1] if self._last_logits is None else torch.cat([self._last_logits, logits[:-1]])
        self._last_logits = logits[-1:]
        targets = tokens[0, -len(known) :] if len(known) else tokens[0, :0]
        surprisals: list[float] = (torch.logsumexp(known, -1) - known.gather(1, targets[:, None])[:, 0]).tolist()
        if not all(map(math.isfinite, [*surprisals, float(self._last_logits.logsumexp(-1))])):
            raise SleepError(
                f"reading {' '.join(text.split())[:40]!r}: the base model's figures are not finite, so nothing can be learned from it; "
                "load it in another float type (--set model.dtype=fp32), or fetch it again"
            )
        return surprisals
