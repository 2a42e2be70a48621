"""Greedy: predicted curves, upper concave hull, best gain per FET first, behind a gate that falls back to the same FET spread evenly.

Levels are planned before the first pass, from what reading left; where there are looks, a chunk still leaves when it is solved or stuck.
See `predict` for the predictions and the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nrem.consolidation.allocate.allocator import Allocator, Exit, Limits, Looks, Progress, Terms, is_stuck
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.allocate.hull import even_levels, hull_levels
from nrem.consolidation.allocate.predict import Calibration, Gate, reason_of, signals_of
from nrem.consolidation.allocate.risk import progress_needed


@dataclass(frozen=True, kw_only=True)
class Greedy(Allocator):
    """Chunks leave at the level that was planned for them."""

    limits: Limits
    calibration: Calibration
    """At levels up to the limit."""
    min_progress: float
    patience: int = 1
    looks: Looks = "first"

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> Self:
        calibration = Calibration.of(terms, curves, "greedy")
        if not terms.looks_between:  # of a chunk without probes as much is known as of any other
            limits = Limits.of(terms, blind_passes=terms.passes)
            return cls(limits=limits, calibration=calibration, min_progress=terms.min_progress, looks="none")
        needed = progress_needed(terms, curves)
        min_progress = terms.min_progress if needed is None else needed
        limits = Limits.of(terms)
        return cls(limits=limits, calibration=calibration, min_progress=min_progress, patience=terms.patience, looks="every")

    @classmethod
    def uses(cls, terms: Terms, curves: CurveTable | None) -> frozenset[str]:
        if not terms.looks_between:
            return frozenset({"curves", "mean_passes"})
        own = {"min_progress"} if progress_needed(terms, curves) is None else set[str]()
        return frozenset({"curves", "mean_passes", "risk", "patience", "blind_passes"} | own)

    def gate_at(self, mean_passes: float) -> Gate:
        """The gate's decision, and what it is based on, at a budget of `mean_passes` a chunk."""
        return Gate.of(self.calibration, min(mean_passes, self.limits.passes))

    def plan(self, progress: Sequence[Progress], budget_fet: float) -> None:
        open_ = [p for p in progress if self.limits.exit_of(p) is None]
        seen = [p for p in open_ if self._is_known(p)]
        for p in open_:
            if not self._is_known(p):
                p.granted = self.limits.blind_passes
                budget_fet -= p.granted * p.fet_of_a_pass
        costs, budget_fet = [p.fet_of_a_pass for p in seen], max(0.0, budget_fet)
        if not seen:
            return
        if self.gate_at(budget_fet / sum(costs)).passed:
            chosen = hull_levels(self._levels, [self._curve(p) for p in seen], costs, budget_fet)
        else:
            chosen = even_levels(costs, budget_fet, self.limits.passes)
        for p, level in zip(seen, chosen, strict=True):
            p.granted = level

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        out: dict[int, Exit] = {}
        for p in active:
            if reason := self.limits.exit_of(p):
                out[p.chunk] = reason
            elif p.granted is not None and p.passes >= p.granted:
                out[p.chunk] = reason_of(p, self.calibration.predictor)
            elif is_stuck(p, self.min_progress, self.patience):
                out[p.chunk] = "hopeless"
        return out

    def worth(self, p: Progress) -> float:
        """The best predicted gain per FET from where it is."""
        return self.calibration.predictor.next_gain(p) / p.fet_of_a_pass if self._is_known(p) else 0.0

    @property
    def _levels(self) -> tuple[int, ...]:
        return self.calibration.table.levels

    def _curve(self, p: Progress) -> list[float]:
        return self.calibration.predictor.predict(signals_of(p))

    def _is_known(self, p: Progress) -> bool:
        """Whether something can be predicted of it; without looks what reading left is enough."""
        return p.num_probes > 0 or self.looks == "none"
