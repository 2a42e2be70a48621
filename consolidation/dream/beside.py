"""One row of an attention cache: a text, and behind it things that see the text and themselves, each at the places it would have alone.

    text   prompt 1   prompt 2   ...   first tokens said to each   second tokens   ...

Nothing of the text is copied for each of them: in a batch of rows, copying keys and values takes longer than reading new tokens. Knows
nothing about what is asked.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.read.masks import added_to_scores
from nrem.consolidation.read.split_model import cache_argument

NONE = -1


class Beside:
    """What is behind a text so far. Things are numbered: a prompt, and what is said to it, of which there may be several."""

    def __init__(self, model: Any, cache: DynamicCache, text_tokens: int) -> None:
        """`cache` holds the text, and as many tokens more as are read here: `end` takes them out of it again."""
        self.model, self.cache, self.text_tokens = model, cache, text_tokens
        self.place = torch.arange(text_tokens, device=model.device)
        self.prompt = self.said = torch.full_like(self.place, NONE)

    def read(
        self,
        ids: Int[Tensor, " token"],
        place: Int[Tensor, " token"],
        prompt: Int[Tensor, " token"],
        said: Int[Tensor, " token"],
        last: Int[Tensor, " last"],
    ) -> Float[Tensor, "last vocab"]:
        """Read these tokens, at these places behind the start of the text, each of a prompt or of what is said to it (`NONE` for the prompt
        itself); gives the logits at the tokens that `last` counts."""
        self.place, self.prompt, self.said = torch.cat([self.place, place]), torch.cat([self.prompt, prompt]), torch.cat([self.said, said])
        own = (self.prompt == prompt[:, None]) & ((self.said == NONE) | (self.said == said[:, None]))
        back = place[:, None] - self.place
        seen = ((self.prompt == NONE) | own) & (back >= 0)
        mask = added_to_scores(self.model, seen[None], back[None])
        logits: Tensor = self.model(
            input_ids=ids[None],
            attention_mask=mask,
            position_ids=place[None],
            use_cache=True,
            logits_to_keep=last,
            **{cache_argument(self.model): self.cache},
        ).logits
        return logits[0]

    def end(self) -> None:
        """Leave the cache as it was."""
        self.cache.crop(self.text_tokens - len(self.place))
