"""A way of answering: what is attached to the model, what stands in the prompt beside the question, and how often the model is asked.

One file a way, and one row of `ways.WAYS`. Knows nothing about decoding, and imports no model.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol

from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.wake.answer import Answer, Thought


class Amount(NamedTuple):
    """What the number behind a way's name counts, and which numbers there may be."""

    of: str
    """In words, as behind a number: `rounds of search`."""
    usual: int
    most: int

    def check(self, way: str, number: int) -> None:
        """Raise `UsageError` for a number that is out of range."""
        if not 1 <= number <= self.most:
            raise UsageError(f"way {way}:{number}: got {number} {self.of}, expected 1 to {self.most}; {way} alone is {way}:{self.usual}")


class Say(NamedTuple):
    """What an adapter counts beside a text that is read without it."""

    with_text: float
    """Share of the reading that has the adapter on, 0 to 1."""
    alone: float
    """How far it counts when it is asked without the text."""


class Askable(Protocol):
    """What a way asks through: a base model that has the weights of the way on. Contexts are texts for the prompt, one a question."""

    def ask_all(self, questions: Sequence[str], contexts: Sequence[str], thoughts: Sequence[Thought] = ()) -> list[Answer]: ...
    def nlls(self, pairs: Sequence[tuple[str, str]], contexts: Sequence[str], thoughts: Sequence[Thought] = ()) -> list[float]: ...
    def think(self, questions: Sequence[str], contexts: Sequence[str], most: int) -> list[Thought]: ...
    def draw(self, question: str, context: str, together: Sequence[int]) -> Iterator[Answer]: ...


class Way(ABC):
    """The first line of a way's docstring is its help text, in which its amount is N."""

    searches: ClassVar[bool] = False
    """Whether it needs the text that was kept."""
    adapter: ClassVar[bool] = True
    """Whether the memory's fast weights are on; else the protocol's reader alone, as with nothing written."""
    say: ClassVar[Say | None] = None
    """What the adapter counts beside a prompt that is read without it; None where it is not asked."""
    dear: ClassVar[bool] = False
    """Whether it asks the model more often than the default way does; `nrem eval` leaves such a way out unless it is named."""
    counts: ClassVar[Amount | None] = None
    """What its amount is; None for a way without one."""

    def __init__(self, name: str, amount: int | None = None) -> None:
        """Raises `UsageError` for an amount out of range, or where there is none to be given."""
        if self.counts is None and amount is not None:
            raise UsageError(f"way {name}:{amount}: {name} takes no amount; write {name}")
        if self.counts is not None and amount is not None:
            self.counts.check(name, amount)
        self.name, self.amount = name, (self.counts.usual if self.counts else 0) if amount is None else amount

    def __str__(self) -> str:
        """As `--way` takes it, without an amount that is the usual one."""
        return self.name if self.counts is None or self.amount == self.counts.usual else f"{self.name}:{self.amount}"

    @abstractmethod
    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        """The chunks, or parts of chunks, that go into the prompt, in this order; none where nothing of the question is found."""

    def answers(self, askable: Askable, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        """The answers to questions that have these texts in their prompts."""
        return askable.ask_all(questions, contexts)

    def nlls(self, askable: Askable, pairs: Sequence[tuple[str, str]], contexts: Sequence[str]) -> list[float]:
        """Mean NLL of given answers, nats per token, under the prompts of the way."""
        return askable.nlls(pairs, contexts)

    @property
    def asks_memory(self) -> bool:
        """Whether what a sleep has written has a say, in the prompt or beside it."""
        return self.adapter or self.say is not None

    @property
    def measured_as(self) -> str:
        """The way whose calibration of confidence holds for it."""
        return str(self)

    @property
    def passes_again(self) -> int:
        """Passes to spend on a question whose answer is not sure enough."""
        return 0
