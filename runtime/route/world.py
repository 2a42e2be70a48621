"""The small world: chains of hops over a few values. A question gives a value and slots, each a hop by a known permutation or a stay; its
answer is the value at the end, and thinking writes the value after every slot.

    start  hop stay hop stay stay stay stay stay  <price 0.5>   ->   <short> end      or      <think> value value ... end

The hops stand in slots drawn by lot among stays, so that every question is as long, and how many there are is neither a token nor a length.
The price stands last, where the decision is made. What can be answered without thinking is for the model to find out: the world has no such
label. Axes: question, slot.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

WORLD_SEED = 17


@dataclass(frozen=True)
class Questions:
    """A batch of questions with what is right."""

    start: Int[Tensor, " question"]
    slots: Int[Tensor, "question slot"]
    """The permutation of every slot; the last index is to stay."""
    trace: Int[Tensor, "question slot"]
    """The value after every slot; the answer is the last."""
    hops: Int[Tensor, " question"]
    """How many slots are hops. For reports only: no training may look at it."""

    @property
    def answer(self) -> Int[Tensor, " question"]:
        return self.trace[:, -1]


@dataclass(frozen=True)
class World:
    """The permutations, and the tokens that questions and answers are made of."""

    permutations: Int[Tensor, "move value"]
    """The last one stays where it is."""
    num_slots: int
    num_prices: int

    @classmethod
    def make(cls, values: int, moves: int, slots: int, num_prices: int) -> "World":
        """The same world for the same sizes."""
        generator = torch.Generator().manual_seed(WORLD_SEED)
        drawn = [torch.randperm(values, generator=generator) for _ in range(moves)]
        return cls(torch.stack([*drawn, torch.arange(values)]), slots, num_prices)

    @property
    def num_values(self) -> int:
        return self.permutations.shape[1]

    @property
    def think(self) -> int:
        return self.num_values + len(self.permutations)

    @property
    def short(self) -> int:
        return self.think + 1

    @property
    def vocabulary(self) -> int:
        """Tokens in all: values, hops, <think>, <short>, prices."""
        return self.short + 1 + self.num_prices

    def draw(self, count: int, generator: torch.Generator, hops: int | None = None) -> Questions:
        """Questions by lot: chains of n hops come 1/n as often as those of one, up to as many as there are slots; or all have `hops`."""
        values, moves, slots = self.num_values, len(self.permutations) - 1, self.num_slots
        start = torch.randint(values, (count,), generator=generator)
        often = 1 / torch.arange(1, slots + 1)
        number = torch.multinomial(often, count, True, generator=generator) + 1 if hops is None else torch.full((count,), hops)
        place = torch.rand(count, slots, generator=generator).argsort(dim=1).argsort(dim=1)
        drawn = torch.randint(moves, (count, slots), generator=generator)
        chosen = torch.where(place < number[:, None], drawn, torch.tensor(moves))
        trace, value = [], start
        for slot in range(slots):
            value = self.permutations[chosen[:, slot], value]
            trace.append(value)
        return Questions(start, chosen, torch.stack(trace, dim=1), number)

    def prompts(self, questions: Questions, price: Int[Tensor, " question"]) -> Int[Tensor, "question token"]:
        """Token ids of the questions, at prices given by their index."""
        parts = (questions.start, *(questions.slots + self.num_values).unbind(1), price + self.short + 1)
        return torch.stack(parts, dim=1)
