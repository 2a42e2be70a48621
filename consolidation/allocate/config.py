"""The configuration of a sleep, and the allocator that follows from it. Knows nothing about models or chunks."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal, Self

from nrem.consolidation.allocate.allocator import Allocator
from nrem.consolidation.allocate.allocators import ALLOCATORS
from nrem.consolidation.allocate.curves import CurveTable
from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite

UNTRAINED_PASSES = 32


@dataclass(frozen=True, kw_only=True)
class SleepConfig:
    passes: int | Literal["auto"] = "auto"
    """Most passes a chunk gets in one sleep; with the uniform allocator, what every chunk gets. 0 writes nothing; "auto" is as
    deep as passes were measured to pay (`nrem ceiling`), else what the protocol was trained for, or 32 for an untrained one."""
    allocator: str = "elimination"
    """A row of `allocators`. `elimination`: a chunk leaves when solved or hopeless; `uniform`: all get the same; `greedy`: levels are
    planned from predicted gains; `priced`: a pass is granted where it promises more than it costs, at a price that follows the spending.
    The last two need `curves`; the first looks at its probes where there are none."""
    curves: str = ""
    """File of measured curves, as `nrem ceiling` writes it, that gains are predicted from; empty for the protocol's own."""
    mean_passes: float = 0.0
    """Passes a chunk that may be spent on average by what plans ahead, every allocator but `uniform`; 0 for no such target."""
    solved_recall: float = 1.0
    """Held-out recall at which a chunk is solved."""
    blind_passes: int = 1
    """Passes of a chunk about which nothing can be asked and nothing predicted; `uniform` does not look."""
    risk: float = 0.05
    """Of the chunks that later passes would help, at most this share may leave as hopeless; holds where enough curves were
    measured, about 1 / risk of chunks that gain."""
    min_progress: float = 0.02
    """A chunk whose next pass is predicted to gain less than this leaves; where curves are too few, so does one whose held-out probes
    gained less over `patience` looks, in recall and in answer NLL (nats)."""
    patience: int = 1
    """Looks over which progress is judged."""
    look_every: int | Literal["auto"] = "auto"
    """Passes between two looks at the held-out probes. "auto" is 8 for an untrained protocol; a trained one's passes cost no more than a
    look, so there it is all of them: only before the first and after the last."""
    replay: float = 0.5
    """Chunks of earlier sleeps read along in every pass, as a share of the sleep's own chunks."""
    budget_fet: float = 0.0
    """Hard cap on all FET of the memory, reading included; 0 for none."""
    budget_seconds: float = 0.0
    """No pass starts that would end later than this, reading included; 0 for none."""

    def __post_init__(self) -> None:
        check_finite(self, "sleep")
        at_least = {"passes": 0, "patience": 1, "look_every": 1, "replay": 0, "budget_fet": 0, "budget_seconds": 0, "mean_passes": 0}
        for name, low in (at_least | {"blind_passes": 0}).items():
            value = getattr(self, name)
            if value != "auto" and value < low:
                raise UsageError(f"sleep.{name}: got {value}, expected {low} or more")
        if self.allocator not in ALLOCATORS:
            *names, last = ALLOCATORS
            raise UsageError(f"sleep.allocator: got {self.allocator!r}, expected {', '.join(names)} or {last}")
        if not 0 < self.risk < 1:
            raise UsageError(f"sleep.risk: got {self.risk}, expected a share between 0 and 1")

    def even(self, passes: int) -> Self:
        """The same with this number of passes for every chunk."""
        return replace(self, passes=passes, allocator="uniform")

    def capped(self, fet: float, seconds: float) -> Self:
        """The same under this budget."""
        return replace(self, budget_fet=fet, budget_seconds=seconds)

    def resolved(self, trained_passes: int, ceiling: int | None = None) -> "ResolvedSleep":
        """The same with "auto" replaced by what suits a protocol that was trained for `trained_passes` (0: untrained), and no deeper than
        passes were measured to pay."""
        deepest = trained_passes or UNTRAINED_PASSES
        if ceiling is not None:
            deepest = min(deepest, ceiling)
        passes = deepest if self.passes == "auto" else self.passes
        look_every = (max(1, passes) if trained_passes else 8) if self.look_every == "auto" else self.look_every
        return ResolvedSleep(**{f.name: getattr(self, f.name) for f in fields(self)} | {"passes": passes, "look_every": look_every})


@dataclass(frozen=True, kw_only=True)
class ResolvedSleep(SleepConfig):
    """The configuration of a sleep with a protocol: nothing is "auto"."""

    passes: int = field()
    """Most passes of a chunk."""
    look_every: int = field()
    """Passes between two looks at the held-out probes."""

    @property
    def looks_between(self) -> bool:
        """Whether the probes are asked between two passes, not only before the first and after the last."""
        return self.look_every < self.passes

    def make_allocator(self, curves: CurveTable | None = None) -> Allocator:
        """Raises `UsageError` where curves are needed and there are none."""
        return ALLOCATORS[self.allocator].of(self, _unless_empty(curves))

    def chosen_by(self, curves: CurveTable | None = None) -> frozenset[str]:
        """The keys of `CHOSEN_BY` that the allocator goes by."""
        return ALLOCATORS[self.allocator].uses(self, _unless_empty(curves))


def _unless_empty(curves: CurveTable | None) -> CurveTable | None:
    return curves if curves is not None and curves.curves else None
