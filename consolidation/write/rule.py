"""The write rule: how one pass over chunks turns activations into an update of the fast weights.

This is the seam between *when* to pass (allocator, sleep) and *how* a pass writes. A rule is made for one memory; it is told which chunks
a sleep works on, and then writes pass after pass over whichever of them are still active.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.probe.material import StudyMaterial
from nrem.consolidation.read.batches import SleepDreams, SleepTexts
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.config import StudyConfig
from nrem.consolidation.write.learned import LearnedWrite
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.statistics import WrittenStatistics

DREAMS = frozenset({"dreams.per_sentence", "dreams.temperature", "dreams.most_doubt"})
"""Settings that rules go by whose passes read what was dreamt."""


@dataclass(frozen=True, kw_only=True)
class PassReport:
    """What one pass did."""

    loss: dict[int, float]
    """Write loss of each active chunk before this pass's write, nats per token, as it was read to be written."""
    tokens: int
    """Tokens computed, padding included."""


@dataclass(frozen=True, kw_only=True)
class RuleParts:
    """What a write rule is made from, whichever it is."""

    split: SplitModel
    fast: FastWeights
    """What it writes into."""
    material: StudyMaterial
    """The prompts, and the study items that can be made of a chunk."""
    ledger: Ledger
    cost: CostModel
    study: StudyConfig
    """How to write with nothing learned."""
    learned: LearnedWrite[Any] | None = None
    kept_energy: float = 1.0
    """Share of what was written that survives the cut to a saved adapter's rank."""

    def texts(self, attached: Callable[[], AbstractContextManager[Any]] = nullcontext) -> SleepTexts:
        """The chunks of a sleep as passes read them; `attached` as in `SleepRows`."""
        return SleepTexts(self.split, self.material.prompts, self.ledger, self.cost, self._vocabulary, attached)

    def dreams(self) -> SleepDreams:
        """What was dreamt about them, as passes read it."""
        return SleepDreams(self.split, self.material.prompts, self.ledger, self.cost, self._vocabulary)

    @property
    def _vocabulary(self) -> int:
        return self.learned.error_vocabulary if self.learned else 0


class WriteRule(ABC):
    """A way to write chunks into fast weights, made from `RuleParts`."""

    rereads: ClassVar[bool] = False
    """Whether what is written follows from the texts alone: a sleep reads all earlier chunks of the adapter again, as `replay`, because all
    of it is solved for anew, and `rewrite` makes it from nothing."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """Full keys of the configuration that this rule goes by and others may not; whoever sets one without effect is told so. What fast
    weights are made by where nothing is learned need not be named."""

    @abstractmethod
    def __init__(self, parts: RuleParts) -> None:
        """A rule for the fast weights of one memory."""

    @abstractmethod
    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        """A sleep starts: `chunks` wait to be consolidated; `replay`, earlier ones, are read along so that they are not overwritten."""

    @abstractmethod
    def next_pass_fet(self, active: Sequence[int]) -> float:
        """An upper bound of what the next `write` over these chunks debits, so that a hard budget can be kept."""

    def price(self, chunk: Chunk) -> float:
        """FET of a pass over this chunk by itself; between sleeps, or before one begins."""
        self.begin([chunk], [])
        try:
            return self.next_pass_fet([chunk.index])
        finally:
            self.end()

    @abstractmethod
    def write(self, active: Sequence[int]) -> PassReport:
        """One pass: read the active chunks (by index) and the replay with all that was written before, then write once. A rule that does
        not write into the fast weights themselves brings them up to it in `publish`."""

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

    def rewrite(self, chunks: Sequence[Chunk], passes: Mapping[int, int]) -> None:
        """Write these chunks and no others, with `passes` of each, where the rule `rereads`."""
        raise NotImplementedError(f"{type(self).__name__} does not write from texts alone")

    def go_on(self, written: WrittenStatistics | None, passes: Mapping[int, int]) -> None:  # noqa: B027 - optional
        """Write behind what an earlier session has written, with `passes` of each chunk, by index; a rule that needs neither starts
        from the fast weights alone."""
