"""The allocator: which chunks get another pass. The whole policy of a sleep, and nothing of how a pass works.

Round by round it sees what each chunk has had and recalled, and says which go on; the others leave with a reason. `uniform` is the
control; `elimination` spends only on chunks that are not solved and still progress (bandit with two exits, arXiv 2506.12721).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Exit = Literal["solved", "hopeless", "cap", "budget"]


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
    """What is known of it before the first pass, by name: num_tokens, surprisal, surprisal_median, pass_fet."""
    granted: int | None = None
    """Most passes it gets, where the allocator plans ahead."""
    exit: Exit | None = None


class Allocator(ABC):
    """Decides after every round."""

    def plan(self, progress: Sequence[Progress], budget_fet: float) -> None:  # noqa: B027 - most do not plan
        """Set `granted` before the first pass; `budget_fet` is what all passes of this sleep may cost, infinite where there is no cap."""

    @abstractmethod
    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        """The chunks that get no further pass, with the reason; those not named go on."""


@dataclass(frozen=True, kw_only=True)
class Uniform(Allocator):
    """The same number of passes for every chunk."""

    passes: int

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        return {p.chunk: "cap" for p in active if p.passes >= self.passes}


@dataclass(frozen=True, kw_only=True)
class Elimination(Allocator):
    """Leave when solved, or when hopeless, or at the cap.

    Solved: recall at the last look reached `solved_recall`. Hopeless: over the last `patience` looks neither the recall nor the answer NLL
    of the held-out probes has gained `min_progress`: further passes would not pay. A chunk without probes gets the cap: nothing says that
    it may leave.
    """

    passes: int
    solved_recall: float
    min_progress: float
    patience: int

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        out: dict[int, Exit] = {}
        for p in active:
            if p.num_probes and p.recall and p.recall[-1] >= self.solved_recall:
                out[p.chunk] = "solved"
            elif p.passes >= self.passes:
                out[p.chunk] = "cap"
            elif p.num_probes and p.looked_at[-1] > 0 and self._stuck(p):
                out[p.chunk] = "hopeless"
        return out

    def _stuck(self, p: Progress) -> bool:
        if len(p.recall) <= self.patience:
            return False
        back = -1 - self.patience
        return max(p.recall[-1] - p.recall[back], p.nll[back] - p.nll[-1]) < self.min_progress


ALLOCATORS = ("uniform", "elimination")
