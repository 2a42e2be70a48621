"""A voice: a model with something attached, and what it says to each of several prompts behind each of some texts, token by token.

    texts, once -> prompts, beside one another -> what is said to each, until it comes to an end

Knows nothing about what is asked, or what is made of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream.beside import NONE, Beside, Tokens
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.site import Sites

ROWS = 64
"""Things that are said at once about a text."""
TEXTS = 4
"""Texts about which things are said at once."""
PATIENCE = 8
"""When only one in so many of those about a text is still speaking, it is cut off: the last token costs a step of its own, and what is long
is seldom sure."""


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
class Manner:
    """How something is said. The first thing that is said to a prompt is the likeliest, further ones are drawn."""

    ends: Ends
    most: int
    """Tokens of each."""
    times: int = 1
    """Things said to each prompt."""
    temperature: float = 1.0
    seed: int = 0


class Voice:
    """Speaks with a static reader or an asker, and nothing that a memory has written. Debits `kind` of the ledger."""

    def __init__(self, model: Any, sites: Sites[Any], ledger: Ledger, cost: CostModel, kind: str) -> None:
        self.model, self.sites, self.ledger, self.cost, self.kind = model, sites, ledger, cost, kind

    @torch.no_grad()
    def say(self, texts: Sequence[Sequence[int]], prompts: Sequence[Sequence[Sequence[int]]], manner: Manner) -> list[list[Said]]:
        """What is said to each of a text's prompts behind it, in order, `times` to each: in float32 the same whatever other texts are
        given. A text without prompts is not read."""
        out: list[list[Said]] = [[] for _ in texts]
        asked = [i for i, mine in enumerate(prompts) if mine]
        with lent(self.model, self.sites, None):
            for start in range(0, len(asked), TEXTS):
                some = asked[start : start + TEXTS]
                for i, said in zip(some, self._about([texts[i] for i in some], [prompts[i] for i in some], manner), strict=True):
                    out[i] = said
        return out

    def _about(self, texts: Sequence[Sequence[int]], prompts: Sequence[Sequence[Sequence[int]]], manner: Manner) -> list[list[Said]]:
        """Of as many texts as are read at once."""
        width = max(map(len, texts))
        with self.ledger.debit(self.kind, self._fet(len(texts) * width, width / 2, head_tokens=len(texts))):
            beside = Beside(self.model, texts)
        draws = [torch.Generator(self.model.device).manual_seed(manner.seed) for _ in texts]
        said: list[list[Said]] = [[] for _ in texts]
        at_once = max(1, ROWS // manner.times)
        for start in range(0, max(map(len, prompts)), at_once):
            some = [mine[start : start + at_once] for mine in prompts]
            for mine, more in zip(said, self._answered(beside, some, manner, draws), strict=True):
                mine += more
            beside.end()
        return said

    def _answered(
        self,
        beside: Beside,
        prompts: Sequence[Sequence[Sequence[int]]],
        manner: Manner,
        draws: Sequence[torch.Generator],
    ) -> list[list[Said]]:
        """What has come to an end is left out from then on, and nobody waits for the last ones about a text."""
        said = [[Said() for _ in range(len(mine) * manner.times)] for mine in prompts]
        everything = [one for mine in said for one in mine]
        all_of = torch.tensor([*map(len, said)], device=self.model.device)
        tokens, last = self._read_out(beside.lengths, prompts)
        for step in range(manner.most):
            with self.ledger.debit(self.kind, self._fet_of(tokens, beside.num_rows, int(last.sum()))):
                logits = beside.read(tokens, last).float()
            if step:
                tokens = replace(tokens, place=tokens.place + 1)
            else:  # a prompt is read once, whatever is said to it
                logits = logits.repeat_interleave(manner.times, 0)
                tokens = tokens.some(last).followed(manner.times)
            tokens = replace(tokens, ids=self._next(logits, tokens, manner, draws))
            nats = -logits.log_softmax(-1).gather(1, tokens.ids[:, None])[:, 0]
            spoken = zip(tokens.said.tolist(), tokens.ids.tolist(), nats.tolist(), strict=True)
            going = [not everything[number].add(token, nll, manner.ends) for number, token, nll in spoken]
            tokens = tokens.some(torch.tensor(going, device=all_of.device))
            still = torch.bincount(tokens.row, minlength=len(said))
            tokens = tokens.some((still * PATIENCE > all_of)[tokens.row])
            if not len(tokens.row):
                break
            last = torch.ones_like(tokens.row, dtype=torch.bool)
        return said

    def _read_out(self, behind: Sequence[int], prompts: Sequence[Sequence[Sequence[int]]]) -> tuple[Tokens, Bool[Tensor, " token"]]:
        """The prompts, token by token, and where each ends."""
        flat = [(row, prompt) for row, mine in enumerate(prompts) for prompt in mine]
        each = [
            (row, token, behind[row] + at, number, NONE, at + 1 == len(prompt))
            for number, (row, prompt) in enumerate(flat)
            for at, token in enumerate(prompt)
        ]
        *columns, last = torch.tensor(each, device=self.model.device).unbind(-1)
        return Tokens(*columns), last.bool()

    @staticmethod
    def _next(logits: Float[Tensor, "row vocab"], tokens: Tokens, manner: Manner, draws: Sequence[torch.Generator]) -> Int[Tensor, " row"]:
        """A text's draws do not depend on what is said about others."""
        ids, drawn = logits.argmax(-1), tokens.said % manner.times > 0
        for row, generator in enumerate(draws):
            mine = tokens.row == row
            if (mine & drawn).any():
                other = torch.multinomial((logits[mine] / manner.temperature).softmax(-1), 1, generator=generator)[:, 0]
                ids[mine] = torch.where(drawn[mine], other, ids[mine])
        return ids

    def _fet_of(self, tokens: Tokens, rows: int, last: int) -> float:
        """Of reading them: rows are as long as the longest of them."""
        longest = int(torch.bincount(tokens.row).max())
        return self._fet(rows * longest, float(tokens.place.float().mean()), head_tokens=last)

    def _fet(self, tokens: float, context: float, *, head_tokens: float) -> float:
        return self.cost.forward(tokens, context, head_tokens=head_tokens) + self.cost.adapter(tokens, self.sites.reader_weights)
