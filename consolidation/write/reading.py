"""Texts of several memories that are read together, again and again, with whatever each memory holds by then. Used to train and measure.

Memories share a batch: texts are memory-major, as many for each. Knows nothing about how a pass writes.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nrem.consolidation.read.observe import Observation, Texts, next_token_loss, observe
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.site import Site, Sites


@dataclass(frozen=True)
class Reading:
    """What a pass can do with the texts."""

    split: SplitModel
    sites: Sites[Any]
    """What is attached, beside the fast weights of the memories: the static reader."""
    texts: Texts
    lower: Tensor | None
    """Activations below the cut."""
    memories: int
    vocabulary: int = 0
    """Tokens over which expectations run; 0 for all."""
    order: int = 1
    """1: what a pass reads is taken as given, but for what `scribe_texts` says; 2: gradients run through all passes."""
    dreams: tuple[Texts, Tensor | None] | None = None
    """What was dreamt about the texts, memory-major as well, with its activations below the cut; for rules that read it."""
    scribe: Mapping[str, Site] | None = None
    """What texts are read with, beside the reader; what was dreamt is read as it will be asked."""
    scribe_texts: int = 0
    """Texts of all memories, at most, of which what the first pass reads has gradients, into the scribe."""

    def observe_all(self, fast: Mapping[str, Any] | None) -> tuple[Observation, Observation | None]:
        """Read the texts, and what was dreamt about them."""
        texts = self.observe(fast)
        if self.dreams is None:
            return texts, None
        with torch.set_grad_enabled(torch.is_grad_enabled() and fast is not None), lent(self.split.model, self.sites, fast):
            return texts, observe(self.split, *self.dreams, self.sites.names, self.vocabulary)

    def observe(self, fast: Mapping[str, Any] | None) -> Observation:
        """Read once; `fast` is what every memory or every text has written, by module, or None where nothing was written yet."""
        with lent(self.split.model, self.sites, fast, self.scribe):
            if self.scribe_texts and fast is None and torch.is_grad_enabled():
                return self._observe_keys()
            return observe(self.split, self.texts, self.lower, self.sites.names, self.vocabulary)

    def _observe_keys(self) -> Observation:
        """Some texts, of each memory its first as far as they go, with gradients through their keys alone; the others without. The reader
        is held meanwhile: it learns from questions."""
        count = len(self.texts.ids)
        place = torch.arange(count, device=self.texts.ids.device) % (count // self.memories)
        order = place.argsort(stable=True)
        learning, others = order[: self.scribe_texts], order[self.scribe_texts :]
        with self.sites.reader_held():
            parts = [observe(self.split, self.texts.rows(learning), None, self.sites.names, self.vocabulary, keys_only=True)]
        if len(others):
            with torch.no_grad():
                lower = None if self.lower is None else self.lower[others]
                parts.append(observe(self.split, self.texts.rows(others), lower, self.sites.names, self.vocabulary))
        return Observation.joined(parts).rows(order.argsort())

    def loss(self, fast: Mapping[str, Tensor]) -> Float[Tensor, " memory"]:
        """Mean next-token loss over all tokens of each memory's texts, nats; differentiable in `fast`."""
        with lent(self.split.model, self.sites, fast):
            loss, valid = next_token_loss(self.split, self.texts, self.lower, self.vocabulary)
        return loss.reshape(self.memories, -1).sum(1) / valid.reshape(self.memories, -1).sum(1).clamp_min(1)

    def reads(self, number: int) -> AbstractContextManager[Any]:
        """Whether what pass `number` reads is differentiated: the first one reads with nothing written."""
        return nullcontext() if (self.order == 2 if number else self.scribe_texts) else torch.no_grad()

    def writes(self, number: int, passes: int) -> AbstractContextManager[Any]:
        """Whether the write of pass `number` is differentiated; the last one always is."""
        return nullcontext() if self.order == 2 or number == passes - 1 else torch.no_grad()
