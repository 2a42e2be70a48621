"""Rows of an attention cache: in each a text, and behind it things that see the text and themselves, at the places they would have alone.

    text   prompt 1   prompt 2   ...   first tokens said to each   second tokens   ...

Nothing of a text is copied for each of them: in a batch of rows, copying keys and values takes longer than reading new tokens. Several
texts are rows of one batch, since few tokens take about as long as one. Knows nothing about what is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.read.masks import added_to_scores
from nrem.consolidation.read.split_model import cache_argument, head_at

NONE, PADDING = -1, -2


@dataclass(frozen=True, eq=False)
class Tokens:
    """What is read at once, row by row: each token's row, id, place behind the start of its text, prompt, and which of the things said to
    that it is of (`NONE` for the prompt itself)."""

    row: Int[Tensor, " token"]
    ids: Int[Tensor, " token"]
    place: Int[Tensor, " token"]
    prompt: Int[Tensor, " token"]
    said: Int[Tensor, " token"]

    def followed(self, count: int) -> Self:
        """Last tokens of prompts, by as many tokens each, of things said that are numbered in order; their ids are to be set."""
        many = type(self)(*(t.repeat_interleave(count) for t in (self.row, self.ids, self.place + 1, self.prompt, self.said)))
        return replace(many, said=torch.arange(len(many.row), device=many.row.device))

    def some(self, which: Bool[Tensor, " token"]) -> Self:
        """Those of them."""
        return type(self)(*(t[which] for t in (self.row, self.ids, self.place, self.prompt, self.said)))


class Beside:
    """What is behind the texts so far. Prompts are numbered, each under the text of its row, and so is what is said to them."""

    def __init__(self, model: Any, texts: Sequence[Sequence[int]]) -> None:
        """Reads the texts."""
        self.model = model
        self.width = max(map(len, texts))
        self._cache = DynamicCache()  # of whole texts also where a layer sees a window: masks tell what is said later what it sees
        ids = torch.tensor([[*text, *[0] * (self.width - len(text))] for text in texts], device=model.device)
        model(input_ids=ids, use_cache=True, logits_to_keep=1, **{cache_argument(model): self._cache})
        self._place = torch.arange(self.width, device=model.device).expand(ids.shape)
        self.lengths = [*map(len, texts)]
        lengths = torch.tensor(self.lengths, device=model.device)
        self._prompt = torch.where(self._place < lengths[:, None], NONE, PADDING)  # on the right, where no text sees it
        self._said = torch.full_like(self._place, NONE)

    @property
    def num_rows(self) -> int:
        return len(self._place)

    def read(self, tokens: Tokens, last: Bool[Tensor, " token"]) -> Float[Tensor, "last vocab"]:
        """Read these tokens; gives the logits behind the `last` ones."""
        row, counts = tokens.row, torch.bincount(tokens.row, minlength=self.num_rows)
        column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        shape = (self.num_rows, int(counts.max()))

        def padded(values: Tensor, filled: Any) -> Tensor:
            return torch.full(shape, filled, dtype=values.dtype, device=values.device).index_put((row, column), values)

        place, prompt, said = padded(tokens.place, 0), padded(tokens.prompt, PADDING), padded(tokens.said, NONE)
        self._place, self._prompt, self._said = (
            torch.cat(pair, dim=1) for pair in ((self._place, place), (self._prompt, prompt), (self._said, said))
        )
        own = (self._prompt[:, None] == prompt[..., None]) & ((self._said[:, None] == NONE) | (self._said[:, None] == said[..., None]))
        back = place[..., None] - self._place[:, None]
        seen = ((self._prompt[:, None] == NONE) | own) & (back >= 0)
        with head_at(self.model, padded(last, False)):
            logits: Tensor = self.model(
                input_ids=padded(tokens.ids, 0),
                attention_mask=added_to_scores(self.model, seen, back),
                position_ids=place,
                use_cache=True,
                **{cache_argument(self.model): self._cache},
            ).logits
        return logits

    def end(self) -> None:
        """Forget all that was read behind the texts."""
        self._cache.crop(self.width - self._place.shape[1])
        self._place, self._prompt, self._said = (t[:, : self.width] for t in (self._place, self._prompt, self._said))
