"""The dreamer: reads a chunk, asks about each of its sentences, and answers from what it has read.

    chunk -> the text, once -> cues of all sentences in one batch -> questions and answers, token by token -> those that the reader believes

What is learned from a text depends on the questions under which it is read (arXiv 2506.06266 trains on a model's own questions about a
corpus); here they cost no gradient: passes write their answers where a later question will look for them. Knows nothing about passes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.dream.cue import cue_ids, read_back, sentences_to_ask, text_ids
from nrem.consolidation.dream.doubt import Doubt
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.split_model import cache_argument
from nrem.consolidation.write.lend import lent
from nrem.memory.stream.chunk import Chunk, QuestionAnswer

LONGEST_SAID = 40
"""Tokens of a question and its answer; what has not come to an end by then is left out."""
ROWS = 64
"""Cues that are answered at once."""


class Dreamer:
    """Asks and answers; nothing that a memory has written is attached."""

    def __init__(
        self, model: Any, asker: Asker, doubt: Doubt, prompts: Prompts, config: DreamConfig, ledger: Ledger, cost: CostModel, seed: int
    ) -> None:
        self.model, self.asker, self.doubt, self.prompts, self.config = model, asker, doubt, prompts, config
        self.ledger, self.cost, self.seed = ledger, cost, seed
        self._cache_name = cache_argument(model)

    @torch.no_grad()
    def dream(self, chunk: Chunk) -> Chunk:
        """The chunk with what was dreamt about it. The same chunk and seed give the same dreams, whatever was dreamt before."""
        cues = [cue_ids(self.prompts, sentence) for sentence in sentences_to_ask(chunk.text)]
        if not cues:
            return chunk
        text = text_ids(self.prompts, chunk.text)
        generator = torch.Generator(self.model.device).manual_seed(self.seed)
        said: list[QuestionAnswer] = []
        with lent(self.model, self.asker, None):
            cache = self._read(text)
            at_once = max(1, ROWS // self.config.per_sentence)
            for start in range(0, len(cues), at_once):
                rows = self._say(text, cache, cues[start : start + at_once], generator)
                said += [asked for row in rows if (asked := read_back(self.prompts, row, chunk.text)) is not None]
        kept = _apart(said)
        doubts = self.doubt.of(chunk.text, kept)
        return replace(chunk, dreamt=tuple(a for a, doubt in zip(kept, doubts, strict=True) if doubt <= self.config.most_doubt))

    def _read(self, text: Sequence[int]) -> DynamicCache:
        cache = DynamicCache()  # of the whole text also where a layer sees a window of it: rows are moved against it
        with self.ledger.debit("dreams", self._fet(len(text), len(text) / 2, head_tokens=1)):
            self.model(
                input_ids=torch.tensor([text], device=self.model.device), use_cache=True, logits_to_keep=1, **{self._cache_name: cache}
            )
        return cache

    def _say(self, text: Sequence[int], known: DynamicCache, cues: Sequence[Sequence[int]], generator: torch.Generator) -> list[list[int]]:
        """What is said to each cue, as often as the configuration says, up to the stop token or `LONGEST_SAID` tokens. Padding stands in
        front of the text, where it takes nothing of a window that slides: a shorter cue is read with the end of the text before it. Rows
        that have come to an end are left out from then on."""
        device, width, stop = self.model.device, max(map(len, cues)), self.prompts.stop_id
        padding = [width - len(cue) for cue in cues]
        ids = torch.tensor([[*text, *cue][-width:] for cue in cues], device=device)
        mask = torch.tensor([[0] * places + [1] * (len(text) + width - places) for places in padding], device=device)
        times, cache = self.config.per_sentence, _behind(known, padding)
        row = list(range(len(cues) * times))
        sampled, said = torch.tensor(row, device=device) % times > 0, [list[int]() for _ in row]
        for step in range(LONGEST_SAID):
            positions = (mask.cumsum(1) - 1)[:, -ids.shape[1] :]
            with self.ledger.debit("dreams", self._fet(ids.numel(), mask.shape[1] - ids.shape[1] / 2, head_tokens=len(ids))):
                out = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache_name: cache},
                )
            logits = out.logits[:, -1].float()
            if step == 0 and times > 1:  # the cue is read once
                cache.batch_repeat_interleave(times)
                logits, mask = logits.repeat_interleave(times, 0), mask.repeat_interleave(times, 0)
            ids = self._next(logits, sampled, generator)
            for number, token in zip(row, ids[:, 0].tolist(), strict=True):
                said[number].append(token)
            going = ids[:, 0] != stop
            if not going.any():
                break
            if not going.all():
                keep = going.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                ids, mask, sampled, row = ids[keep], mask[keep], sampled[keep], [row[i] for i in keep.tolist()]
            mask = torch.cat([mask, mask.new_ones(len(ids), 1)], 1)
        return said

    def _next(self, logits: Float[Tensor, "cue vocab"], sampled: Tensor, generator: torch.Generator) -> Int[Tensor, "cue 1"]:
        likeliest = logits.argmax(-1, keepdim=True)
        if not sampled.any():
            return likeliest
        drawn = torch.multinomial((logits / self.config.temperature).softmax(-1), 1, generator=generator)
        return torch.where(sampled[:, None], drawn, likeliest)

    def _fet(self, tokens: float, context: float, *, head_tokens: float) -> float:
        return self.cost.forward(tokens, context, head_tokens=head_tokens) + self.cost.adapter(tokens, self.asker.reader_weights)


def _behind(cache: DynamicCache, padding: Sequence[int]) -> DynamicCache:
    """A cache of several rows, in each of which what this one holds stands behind so many places of padding; what does not fit in is left
    out at the end."""
    out = DynamicCache()
    for number, layer in enumerate(cache.layers):
        keys, values = (torch.cat([held.roll(places, -2) for places in padding]) for held in (layer.keys, layer.values))
        out.update(keys, values, number)
    return out


def _apart(said: Sequence[QuestionAnswer]) -> list[QuestionAnswer]:
    """Each question once, with its first answer."""
    return list({asked.question.lower(): asked for asked in reversed(said)}.values())[::-1]
