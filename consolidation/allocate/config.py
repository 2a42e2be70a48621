"""The configuration of a sleep, and the allocator that follows from it. Knows nothing about models or chunks."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from nrem.consolidation.allocate.allocator import CALIBRATED, Allocator, Limits, Uniform
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.allocate.elimination import Elimination
from nrem.consolidation.allocate.greedy import Greedy
from nrem.consolidation.allocate.predict import SIGNALS, Calibration, at_levels
from nrem.consolidation.allocate.priced import Priced
from nrem.consolidation.allocate.risk import calibrated_progress
from nrem.memory.errors import UsageError

UNTRAINED_PASSES = 32


@dataclass(frozen=True, kw_only=True)
class SleepConfig:
    passes: int | Literal["auto"] = "auto"
    """Most passes a chunk gets in one sleep; with the uniform allocator, what every chunk gets. 0 writes nothing; "auto" is what the
    protocol was trained for, or 32 for an untrained one."""
    allocator: Literal["uniform", "elimination", "greedy", "priced"] = "elimination"
    """`elimination`: a chunk leaves when solved or hopeless; `uniform`: all get the same; `greedy`: levels are planned from predicted
    gains; `priced`: a pass is granted where it promises more than it costs, at a price that follows the spending. The last two need
    `curves`; the first looks at its probes where there are none."""
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
    """A chunk whose next pass is predicted to gain less than this leaves; without so many curves, so does one whose held-out probes
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
        at_least = {"passes": 0, "patience": 1, "look_every": 1, "replay": 0, "budget_fet": 0, "budget_seconds": 0, "mean_passes": 0}
        for name, low in (at_least | {"blind_passes": 0}).items():
            value = getattr(self, name)
            if value != "auto" and value < low:
                raise UsageError(f"sleep.{name}: got {value}, expected {low} or more")
        if not 0 < self.risk < 1:
            raise UsageError(f"sleep.risk: got {self.risk}, expected a share between 0 and 1")

    def resolved(self, trained_passes: int, ceiling: int | None = None) -> Self:
        """The same with "auto" replaced by what suits a protocol that was trained for so many passes (0: untrained), and no deeper than
        passes were measured to pay."""
        deepest = trained_passes or UNTRAINED_PASSES
        if ceiling is not None:
            deepest = min(deepest, ceiling)
        passes = deepest if self.passes == "auto" else self.passes
        look_every = (max(1, passes) if trained_passes else 8) if self.look_every == "auto" else self.look_every
        return replace(self, passes=passes, look_every=look_every)

    def make_allocator(self, curves: CurveTable | None = None) -> Allocator:
        """Raises `UsageError` where "auto" was not resolved, or curves are needed and there are none."""
        if self.passes == "auto" or self.look_every == "auto":
            raise UsageError('sleep.passes: "auto" depends on a protocol; call resolved() first')
        if self.allocator == "uniform":
            return Uniform(passes=self.passes)
        limits = Limits(passes=self.passes, solved_recall=self.solved_recall, blind_passes=self.blind_passes)
        if curves is None or not curves.curves:
            if self.allocator in CALIBRATED:
                raise UsageError(
                    f"sleep.allocator: {self.allocator} needs measured curves, got none: measure them with nrem ceiling, or name a file "
                    "with --set sleep.curves=FILE"
                )
            return Elimination(limits=limits, min_progress=self.min_progress, patience=self.patience)
        return self._looking(limits, curves) if self.look_every < self.passes else self._predicting(limits, curves)

    def _looking(self, limits: Limits, curves: CurveTable) -> Allocator:
        """What decides by looks between passes."""
        assert isinstance(self.passes, int), "resolved"
        assert isinstance(self.look_every, int), "resolved"
        seen = at_levels(curves, range(0, self.passes + 1, self.look_every))
        calibrated = calibrated_progress(seen, self.risk, self.patience)
        min_progress = self.min_progress if calibrated is None else calibrated
        if self.allocator == "elimination":
            return Elimination(limits=limits, min_progress=min_progress, patience=self.patience)
        calibration = Calibration(at_levels(curves, range(self.passes + 1)), SIGNALS)
        if self.allocator == "greedy":
            return Greedy(limits=limits, calibration=calibration, min_progress=min_progress, patience=self.patience)
        return Priced(limits=limits, calibration=calibration, mean_passes=self.mean_passes, price=self._opening_price(calibration))

    def _predicting(self, limits: Limits, curves: CurveTable) -> Allocator:
        """What decides by what reading left; of a chunk without probes as much is known as of any other."""
        assert isinstance(self.passes, int), "resolved"
        limits = replace(limits, blind_passes=self.passes)
        calibration = Calibration(at_levels(curves, range(self.passes + 1)))
        if self.allocator == "elimination":
            return Elimination(limits=limits, min_progress=self.min_progress, predictor=calibration.predictor, looks="none")
        if self.allocator == "greedy":
            return Greedy(limits=limits, calibration=calibration, min_progress=self.min_progress, looks="none")
        price = self._opening_price(calibration)
        return Priced(limits=limits, calibration=calibration, mean_passes=self.mean_passes, price=price, looks="none")

    def _opening_price(self, calibration: Calibration) -> float:
        return calibration.price_at(self.mean_passes) if self.mean_passes else 0.0
