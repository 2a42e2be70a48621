"""The adapter as an expert beside what is read: it is asked the question alone, and only what it adds to the reader's own guess counts.

    log p(token) = log p(token | text, question) + share * (log p_memory(token | question) - log p_nothing written(token | question))

up to a constant: experts and anti-experts at decoding time (arXiv 2105.03023). Text and adapter are two witnesses of the same document.
With both in one prompt the adapter stands in the text's way; here neither disturbs the other. Where there is no text the reader's guess is
all that is read, and the expert counts in full: what is left is the adapter alone. Knows nothing about questions or prices.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, LogitsProcessor, PreTrainedModel

from nrem.consolidation.read.split_model import cache_argument
from nrem.memory.weights.fast_weights import FastWeights


@dataclass(frozen=True)
class Expert:
    """Two fast weights on one model, of which those that a memory has written are silent until they are asked."""

    written: FastWeights
    reader: FastWeights
    """With nothing written: what reads the text, and guesses without it."""
    share: float
    """How far the expert counts beside a text."""

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """The memory's weights are on, the reader's off, while the block runs."""
        with self.written.silenced(False), self.reader.silenced():
            yield

    def shares(self, texts: Sequence[Sequence[int]]) -> Float[Tensor, "row 1"]:
        """How far it counts beside each of these texts, given as token ids; in full where one is empty."""
        return torch.tensor([[self.share if text else 1.0] for text in texts])


def beside(
    reading: Float[Tensor, "row vocab"],
    expert: Float[Tensor, "row vocab"],
    guess: Float[Tensor, "row vocab"],
    shares: Float[Tensor, "row 1"],
) -> Float[Tensor, "row vocab"]:
    """Log-probabilities of all three together, from the logits of each."""
    read, said, guessed = (torch.log_softmax(logits.float(), -1) for logits in (reading, expert, guess))
    return torch.log_softmax(read + shares.to(read.device) * (said - guessed), -1)


class BesideText(LogitsProcessor):
    """While a batch of prompts with texts is decoded, asks the expert the same questions without them, token by token."""

    def __init__(
        self,
        model: PreTrainedModel,
        expert: Expert,
        questions: Sequence[Sequence[int]],
        shares: Float[Tensor, "row 1"],
        pad_id: int,
    ) -> None:
        """`questions`: the prompts without a text, as token ids, in the order of the batch."""
        width = max(map(len, questions))
        self.model, self.expert, self.shares = model, expert, shares
        self._next = torch.tensor([[pad_id] * (width - len(q)) + [*q] for q in questions], device=model.device)
        self._mask = torch.tensor([[0] * (width - len(q)) + [1] * len(q) for q in questions], device=model.device)
        self._said, self._guessed = DynamicCache(config=model.config), DynamicCache(config=model.config)
        self._cache_name = cache_argument(model)
        self._numbered = "position_ids" in inspect.signature(model.forward).parameters
        self._begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._begun:
            self._next = input_ids[:, -1:]
            self._mask = torch.cat([self._mask, torch.ones_like(self._next)], 1)
        self._begun = True
        with self.expert.speaking():
            said = self._logits(self._said)
        return beside(scores, said, self._logits(self._guessed), self.shares)

    def _logits(self, cache: DynamicCache) -> Tensor:
        """Of the next token of every row; what was read before is in the cache."""
        places = (self._mask.cumsum(1) - 1).clamp_min(0)[:, -self._next.shape[1] :]  # rows are padded on the left
        inputs = {self._cache_name: cache} | ({"position_ids": places} if self._numbered else {})
        logits: Tensor = self.model(input_ids=self._next, attention_mask=self._mask, logits_to_keep=1, **inputs).logits
        return logits[:, -1]
