"""The allocator: which chunks get another pass. The whole policy of a sleep, and nothing of how a pass works.

Round by round it sees what each chunk has had and recalled, and says which go on; the others leave with a reason. Each allocator has a
file of its own, and a row of `allocators`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from nrem.consolidation.allocate.curves import CurveTable

Exit = Literal["solved", "hopeless", "cap", "budget"]
Looks = Literal["none", "first", "every"]


@dataclass
class Progress:
    """One chunk's way through a sleep."""

    chunk: int
    num_probes: int
    passes: int = 0
    recall: list[float] = field(default_factory=list)
    """Held-out recall at each look; the first is from before the first pass."""
    nll: list[float] = field(default_factory=list)
    """Mean answer NLL of the held-out probes at each look, nats per token."""
    looked_at: list[int] = field(default_factory=list)
    """Number of passes at each look."""
    loss: list[float] = field(default_factory=list)
    """Write loss before each pass, nats per answer token."""
    signals: dict[str, float] = field(default_factory=dict)
    """What is known of it before the first pass, by name: num_tokens, surprisal, surprisal_median, pass_fet, look_fet (looks, a pass)."""
    granted: int | None = None
    """Most passes it gets, where the allocator plans ahead."""
    exit: Exit | None = None

    @property
    def fet_of_a_pass(self) -> float:
        """What one more pass costs, looks included; 1 where nothing is known."""
        return self.signals.get("pass_fet", 0.0) + self.signals.get("look_fet", 0.0) or 1.0


class Terms(Protocol):
    """What the configuration says to an allocator; `SleepConfig` has the meaning of each."""

    @property
    def passes(self) -> int: ...
    @property
    def look_every(self) -> int: ...
    @property
    def looks_between(self) -> bool: ...
    @property
    def mean_passes(self) -> float: ...
    @property
    def solved_recall(self) -> float: ...
    @property
    def blind_passes(self) -> int: ...
    @property
    def risk(self) -> float: ...
    @property
    def min_progress(self) -> float: ...
    @property
    def patience(self) -> int: ...


CHOSEN_BY = frozenset({"curves", "mean_passes", "blind_passes", "risk", "min_progress", "patience"})
"""Keys of `SleepConfig` that an allocator may go by, or not."""


class Allocator(ABC):
    """Decides after every round."""

    looks: Looks
    """Which looks at the probes it decides by: what it must be charged for where allocators are compared."""

    @classmethod
    @abstractmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> "Allocator":
        """The one that a configuration asks for; `curves` are those measured beforehand, None where there are none."""

    @classmethod
    def uses(cls, terms: Terms, curves: CurveTable | None) -> frozenset[str]:
        """Those of `CHOSEN_BY` that change what `of` makes of the same arguments: none unless it says so."""
        return frozenset()

    def plan(self, progress: Sequence[Progress], budget_fet: float) -> None:  # noqa: B027 - most do not plan
        """Set `granted` before the first pass; `budget_fet` is what all passes of this sleep may cost, infinite where there is no cap."""

    @abstractmethod
    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        """The chunks that get no further pass, with the reason; those not named go on."""

    def worth(self, p: Progress) -> float:
        """What another pass promises: when not all chunks can have one, those that promise least leave, the later of equals first."""
        return 0.0

    def at_price(self, price: float) -> Self:
        """The same at another price, nats per FET; itself where nothing is priced."""
        return self

    def next_price(self, progress: Sequence[Progress]) -> float:
        """The price for the sleep after one that went like this."""
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a chunk leaves whatever another pass promises."""

    passes: int
    solved_recall: float = 1.0
    blind_passes: int = 1
    """Passes of a chunk without probes: nothing says that more of them pay."""

    @classmethod
    def of(cls, terms: Terms, *, blind_passes: int | None = None) -> Self:
        """As configured; `blind_passes` goes over the configuration."""
        blind = terms.blind_passes if blind_passes is None else blind_passes
        return cls(passes=terms.passes, solved_recall=terms.solved_recall, blind_passes=blind)

    def exit_of(self, p: Progress) -> Exit | None:
        if p.num_probes and p.recall and p.recall[-1] >= self.solved_recall:
            return "solved"
        if p.passes >= self.passes:
            return "cap"
        return "hopeless" if not p.num_probes and p.passes >= self.blind_passes else None


def leave(progress: Sequence[Progress], exits: dict[int, Exit]) -> None:
    """Note why chunks leave; one that has left already keeps its reason."""
    for p in progress:
        p.exit = p.exit or exits.get(p.chunk)


def is_stuck(p: Progress, min_progress: float, patience: int) -> bool:
    """Whether the last `patience` looks saw less than this progress, in recall as in answer NLL (nats)."""
    if not p.num_probes or len(p.recall) <= patience:
        return False
    back = -1 - patience
    return max(p.recall[-1] - p.recall[back], p.nll[back] - p.nll[-1]) < min_progress
