"""The write rule: how one pass over chunks turns activations into an update of the fast weights.

This is the seam between *when* to pass (allocator, sleep) and *how* a pass writes. A rule is made for one memory; it is told which chunks
a sleep works on, and then writes pass after pass over whichever of them are still active.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nrem.memory.chunk import Chunk
from nrem.memory.statistics import WrittenStatistics


@dataclass(frozen=True, kw_only=True)
class PassReport:
    """What one pass did."""

    loss: dict[int, float]
    """Write loss of each active chunk before this pass's write, nats per answer token."""
    tokens: int
    """Tokens computed, padding included."""


class WriteRule(ABC):
    """A way to write chunks into fast weights."""

    rereads: ClassVar[bool] = False
    """Whether a sleep reads all earlier chunks of the adapter again, as `replay`, because all of it is solved for anew."""

    @abstractmethod
    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        """A sleep starts: `chunks` wait to be consolidated; `replay`, earlier ones, are read along so that they are not overwritten."""

    @abstractmethod
    def next_pass_fet(self, active: Sequence[int]) -> float:
        """An upper bound of what the next `write` over these chunks debits, so that a hard budget can be kept."""

    @abstractmethod
    def write(self, active: Sequence[int]) -> PassReport:
        """One pass: read the active chunks (by index) and the replay with the current fast weights, then write once."""

    @abstractmethod
    def end(self) -> None:
        """The sleep is over: drop what was kept for it."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """What must be saved, besides the fast weights, for a killed sleep to go on with the same result."""

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take a saved `state` after `begin` with the same chunks."""

    def alone(self, chunk: int) -> AbstractContextManager[None]:
        """The fast weights as a question about this chunk finds them: all of them, unless the rule can tell the chunks apart."""
        return nullcontext()

    @property
    def written(self) -> WrittenStatistics | None:
        """What a finished memory keeps beside the fast weights, to be extended, merged and partly forgotten, where the rule has it."""
        return None

    def publish(self) -> None:  # noqa: B027 - optional
        """Bring the fast weights up to what was written, for a look; a rule that writes into them has nothing to do."""

    def complete(self) -> None:
        """No chunk goes on: do what earlier chunks still need, and publish."""
        self.publish()

    def go_on(self, written: WrittenStatistics | None, passes: Mapping[int, int]) -> None:  # noqa: B027 - optional
        """Write behind what an earlier session has written, with so many passes of each chunk, by index; a rule that needs neither starts
        from the fast weights alone."""
