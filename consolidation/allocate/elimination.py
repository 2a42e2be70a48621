"""Elimination: a pass goes only to chunks that are not solved and still promise something (bandit with two exits, arXiv 2506.12721).

What a pass promises is either seen, by looks at the held-out probes between passes, or predicted, from what reading left and curves that
were measured before. Looks pay where a pass costs many of them (the gradient rule); beside a forward-only pass a look costs as much as
the pass that it decides about (benchmarks/LOG.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from nrem.consolidation.allocate.allocator import Allocator, Exit, Limits, Looks, Progress, Terms, is_stuck
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.allocate.hull import hull_levels
from nrem.consolidation.allocate.predict import Calibration, GainPredictor, reason_of, signals_of
from nrem.consolidation.allocate.risk import progress_needed


@dataclass(frozen=True, kw_only=True)
class Elimination(Allocator):
    """Leave when solved, or when hopeless, or at the cap.

    Solved: recall at the last look reached the limit. Hopeless: over the last `patience` looks neither the recall nor the answer NLL
    of the held-out probes has gained `min_progress`, or there are no probes. With a predictor: whoever promises less than `min_progress`
    nats a pass leaves, those that read easily as solved; under a budget, levels are planned by what each pass promises per FET.
    """

    limits: Limits
    min_progress: float
    patience: int = 1
    predictor: GainPredictor | None = None
    looks: Looks = "every"

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> Self:
        if curves is None or terms.looks_between:
            needed = progress_needed(terms, curves)
            min_progress = terms.min_progress if needed is None else needed
            looks: Looks = "every" if terms.looks_between else "first"
            return cls(limits=Limits.of(terms), min_progress=min_progress, patience=terms.patience, looks=looks)
        predictor = Calibration.of(terms, curves, "elimination").predictor
        limits = Limits.of(terms, blind_passes=terms.passes)  # of a chunk without probes as much is known as of any other
        return cls(limits=limits, min_progress=terms.min_progress, predictor=predictor, looks="none")

    @classmethod
    def uses(cls, terms: Terms, curves: CurveTable | None) -> frozenset[str]:
        if not terms.looks_between:
            return frozenset({"blind_passes"} if curves is None else {"curves", "min_progress", "mean_passes"})
        calibrated = {"curves", "risk"} if curves is not None else set[str]()
        own = {"min_progress"} if progress_needed(terms, curves) is None else set[str]()
        return frozenset({"patience", "blind_passes"} | calibrated | own)

    def plan(self, progress: Sequence[Progress], budget_fet: float) -> None:
        if self.predictor is None or math.isinf(budget_fet):
            return
        gains, costs = [self.predictor.predict(signals_of(p)) for p in progress], [p.fet_of_a_pass for p in progress]
        for p, level in zip(progress, hull_levels(self.predictor.levels, gains, costs, max(0.0, budget_fet)), strict=True):
            p.granted = level

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        out: dict[int, Exit] = {}
        for p in active:
            if reason := self.limits.exit_of(p):
                out[p.chunk] = reason
            elif self.predictor is not None and self._has_enough(p, self.predictor):
                out[p.chunk] = reason_of(p, self.predictor)
            elif is_stuck(p, self.min_progress, self.patience):
                out[p.chunk] = "hopeless"
        return out

    def _has_enough(self, p: Progress, predictor: GainPredictor) -> bool:
        return predictor.next_gain(p) < self.min_progress or (p.granted is not None and p.passes >= p.granted)

    def worth(self, p: Progress) -> float:
        """The next pass's gain in answer NLL per FET: predicted, else what the last one gave."""
        if self.predictor is not None:
            return self.predictor.next_gain(p) / p.fet_of_a_pass
        return (p.nll[-2] - p.nll[-1]) / p.fet_of_a_pass if len(p.nll) > 1 else 0.0
