"""Witnesses: a question is read with the found text and without, with the adapter on and off, and all four have a say in every token.

    log p = (1 - with_text) log p_off(token | text) + with_text log p_on(token | text) + alone (log p_on(token) - log p_off(token))

up to a constant, each given the question. Text and adapter are about the same document. With both in one prompt the adapter stands in the
way of a text that says it all, and mends one that does not. Asked alone it is an expert, of which only what it adds to the reader's own
guess counts (experts and anti-experts at decoding time, arXiv 2105.03023). Where there is no text, the adapter alone is asked.
Knows nothing about questions or prices.
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
from nrem.runtime.wake.generate import padded
from nrem.runtime.wake.way import Say

Ids = Sequence[Sequence[int]]
"""Prompts of a batch."""


@dataclass(frozen=True)
class Witnesses:
    """Two fast weights on one model: those that a memory has written, silent until they are asked, and those with nothing written."""

    written: FastWeights
    reader: FastWeights
    say: Say

    @contextmanager
    def adapter_on(self) -> Iterator[None]:
        """The memory's weights speak, the reader's fall silent, while the block runs."""
        with self.written.silenced(False), self.reader.silenced():
            yield

    def weights(self, texts: Ids) -> Float[Tensor, "row witness"]:
        """What each witness counts beside each of these texts, given as token ids: off and on with the text, on and off alone."""
        beside, nothing = (1 - self.say.with_text, self.say.with_text, self.say.alone, -self.say.alone), (0.0, 0.0, 1.0, 0.0)
        return torch.tensor([beside if text else nothing for text in texts])


def together(logits: Sequence[Float[Tensor, "row vocab"]], weights: Float[Tensor, "row witness"]) -> Float[Tensor, "row vocab"]:
    """Log-probabilities of all witnesses together, from the logits of each."""
    summed = sum(weights[:, [n]] * torch.log_softmax(given.float(), -1) for n, given in enumerate(logits))
    assert isinstance(summed, Tensor)
    return torch.log_softmax(summed, -1)


class Stream:
    """A batch of prompts that is read token by token, with a cache of its own."""

    def __init__(self, model: PreTrainedModel, prompts: Ids, pad_id: int) -> None:
        self.model = model
        self._next, self._mask = padded(prompts, pad_id, model.device)
        self._cache, self._cache_name = DynamicCache(config=model.config), cache_argument(model)
        self._numbered = "position_ids" in inspect.signature(model.forward).parameters

    def logits(self) -> Float[Tensor, "row vocab"]:
        """Of the token behind what was read so far."""
        places = (self._mask.cumsum(1) - 1).clamp_min(0)[:, -self._next.shape[1] :]  # rows are padded on the left
        inputs = {self._cache_name: self._cache} | ({"position_ids": places} if self._numbered else {})
        logits: Tensor = self.model(input_ids=self._next, attention_mask=self._mask, logits_to_keep=1, **inputs).logits
        return logits[:, -1]

    def said(self, tokens: Tensor) -> None:
        """These came next, (row 1)."""
        self._next, self._mask = tokens, torch.cat([self._mask, torch.ones_like(tokens)], 1)


class BesideReader(LogitsProcessor):
    """While the reader answers a batch of prompts with texts, asks the other witnesses, token by token."""

    def __init__(self, model: PreTrainedModel, witnesses: Witnesses, prompts: Ids, alone: Ids, texts: Ids, pad_id: int) -> None:
        """`alone`: the prompts without their texts."""
        self.witnesses, self.weights = witnesses, witnesses.weights(texts).to(model.device)
        self._on = [Stream(model, prompts, pad_id), Stream(model, alone, pad_id)]
        self._guess = Stream(model, alone, pad_id)
        self._begun = False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._begun:
            for stream in (*self._on, self._guess):
                stream.said(input_ids[:, -1:])
        self._begun = True
        with self.witnesses.adapter_on():
            on = [stream.logits() for stream in self._on]
        return together([scores, *on, self._guess.logits()], self.weights)
