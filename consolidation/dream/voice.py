"""A voice: a model with something attached, and what it says to each of several prompts behind one text, token by token.

    text, once -> prompts, beside one another -> what is said to each, until it comes to an end

Knows nothing about what is asked, or what is made of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream.beside import NONE, Beside
from nrem.consolidation.read.split_model import cache_argument
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.site import Sites

ROWS = 64
"""Things that are said at once."""
PATIENCE = 8
"""When only one in so many is still speaking, it is cut off: a token costs almost as much for one as for all, and what is long is seldom
sure."""
Ends = Callable[[Sequence[int]], bool]
"""Whether what was said so far has come to its end."""


@dataclass
class Said:
    """What was said to a prompt."""

    ids: list[int] = field(default_factory=list)
    """Tokens, with that which ended it."""
    nats: float = 0.0
    """NLL of all of them."""

    def add(self, token: int, nats: float, ends: Ends) -> bool:
        """One more token; whether it ended it."""
        self.ids.append(token)
        self.nats += nats
        return ends(self.ids)

    @property
    def nll(self) -> float:
        """Mean NLL of the tokens, nats."""
        return self.nats / max(1, len(self.ids))


@dataclass(frozen=True)
class Chance:
    """How the second and further things that are said to a prompt are drawn; the first is the likeliest."""

    times: int = 1
    temperature: float = 1.0
    generator: torch.Generator | None = None


class Voice:
    """Speaks with a static reader or an asker, and nothing that a memory has written. Debits `kind` of the ledger."""

    def __init__(self, model: Any, sites: Sites[Any], ledger: Ledger, cost: CostModel, kind: str) -> None:
        self.model, self.sites, self.ledger, self.cost, self.kind = model, sites, ledger, cost, kind

    @torch.no_grad()
    def say(self, text: Sequence[int], prompts: Sequence[Sequence[int]], ends: Ends, most: int, chance: Chance = Chance()) -> list[Said]:
        """What is said to each prompt behind the text, so often as `chance` says, in order; `most` tokens of each."""
        said: list[Said] = []
        with lent(self.model, self.sites, None):
            cache = self._read(text)
            at_once = max(1, ROWS // chance.times)
            for start in range(0, len(prompts), at_once):
                beside = Beside(self.model, cache, len(text))
                said += self._answered(beside, prompts[start : start + at_once], ends, most, chance)
                beside.end()
        return said

    def _read(self, text: Sequence[int]) -> DynamicCache:
        cache = DynamicCache()  # of the whole text also where a layer sees a window of it: masks tell what is said later what it sees
        with self.ledger.debit(self.kind, self._fet(len(text), len(text) / 2, head_tokens=1)):
            ids = torch.tensor([[*text]], device=self.model.device)
            self.model(input_ids=ids, use_cache=True, logits_to_keep=1, **{cache_argument(self.model): cache})
        return cache

    def _answered(self, beside: Beside, prompts: Sequence[Sequence[int]], ends: Ends, most: int, chance: Chance) -> list[Said]:
        """What has come to an end is left out from then on, and nobody waits for the last ones."""
        device, times = self.model.device, chance.times
        lengths, number = torch.tensor([*map(len, prompts)], device=device), torch.arange(len(prompts), device=device)
        ids = torch.tensor([token for prompt in prompts for token in prompt], device=device)
        place = torch.cat([torch.arange(beside.text_tokens, beside.text_tokens + len(prompt), device=device) for prompt in prompts])
        prompt, last, row = number.repeat_interleave(lengths), lengths.cumsum(0) - 1, torch.full_like(ids, NONE)
        said = [Said() for _ in range(len(prompts) * times)]
        for step in range(most):
            with self.ledger.debit(self.kind, self._fet(len(ids), float(place.float().mean()), head_tokens=len(last))):
                logits = beside.read(ids, place, prompt, row, last).float()
            if step:
                place = place + 1
            else:  # a prompt is read once, whatever is said to it
                row, logits = torch.arange(len(said), device=device), logits.repeat_interleave(times, 0)
                prompt, place = number.repeat_interleave(times), (beside.text_tokens + lengths).repeat_interleave(times)
            ids = self._next(logits, row % times > 0, chance)
            nats = -logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
            spoken = zip(row.tolist(), ids.tolist(), nats.tolist(), strict=True)
            going = [not said[i].add(token, nll, ends) for i, token, nll in spoken]
            if sum(going) * PATIENCE <= len(said):
                break
            ids, place, prompt, row = (t[torch.tensor(going, device=device)] for t in (ids, place, prompt, row))
            last = torch.arange(len(ids), device=device)
        return said

    @staticmethod
    def _next(logits: Float[Tensor, "row vocab"], drawn: Tensor, chance: Chance) -> Int[Tensor, " row"]:
        likeliest = logits.argmax(-1)
        if not drawn.any():
            return likeliest
        other = torch.multinomial((logits / chance.temperature).softmax(-1), 1, generator=chance.generator)[:, 0]
        return torch.where(drawn, other, likeliest)

    def _fet(self, tokens: float, context: float, *, head_tokens: float) -> float:
        return self.cost.forward(tokens, context, head_tokens=head_tokens) + self.cost.adapter(tokens, self.sites.reader_weights)
