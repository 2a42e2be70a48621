"""Priced: a pass is granted when it promises more nats per FET than a pass costs at the moment, since the rest of the document is unknown.

Between sleeps the price moves by dual ascent towards the target spend. What a pass promises is predicted from what reading left, or, where
there are looks between passes, follows from the last gains that were seen, `g2 * g2 / g1`: exact where gains decay geometrically.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from nrem.consolidation.allocate.allocator import Allocator, Exit, Limits, Looks, Progress, Terms
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.allocate.predict import Calibration, reason_of

STEP = 0.5
"""How far the price moves when twice the target was spent, in first gains per FET of the calibration."""


@dataclass(frozen=True, kw_only=True)
class Priced(Allocator):
    """Chunks leave when their next pass is not worth its price."""

    limits: Limits
    calibration: Calibration
    mean_passes: float = 0.0
    """The target: passes per chunk on average; 0 for none, then the price stays what it is."""
    price: float = 0.0
    """Nats of answer NLL per FET; a memory's first sleep asks what the calibration says."""
    looks: Looks = "every"

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> Self:
        calibration, between = Calibration.of(terms, curves, "priced"), terms.looks_between
        limits = Limits.of(terms, blind_passes=None if between else terms.passes)
        price = calibration.price_at(terms.mean_passes) if terms.mean_passes else 0.0
        looks: Looks = "every" if between else "none"
        return cls(limits=limits, calibration=calibration, mean_passes=terms.mean_passes, price=price, looks=looks)

    @classmethod
    def uses(cls, terms: Terms, curves: CurveTable | None) -> frozenset[str]:
        return frozenset({"curves", "mean_passes"} | ({"blind_passes"} if terms.looks_between else set[str]()))

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        out: dict[int, Exit] = {}
        for p in active:
            if reason := self.limits.exit_of(p):
                out[p.chunk] = reason
            elif (gain := self.next_gain(p)) <= 0:
                out[p.chunk] = reason_of(p, self.calibration.predictor) if self.looks == "none" else "hopeless"
            elif gain < self.price * p.fet_of_a_pass:
                out[p.chunk] = "budget"
        return out

    def next_gain(self, p: Progress) -> float:
        """What the next pass is expected to give, nats per token."""
        if self.looks == "none":
            return self.calibration.predictor.next_gain(p)
        if not p.num_probes:
            return float("inf")  # `limits` says when it leaves
        steps = list(zip(p.nll, p.nll[1:], p.looked_at, p.looked_at[1:], strict=False))
        gains = [(before - after) / (b - a) for before, after, a, b in steps if b > a]
        if not gains:
            return self.calibration.first_gain
        if len(gains) == 1:
            return gains[0] * self.calibration.decay
        last, earlier = gains[-1], gains[-2]
        return last * min(1.0, last / earlier) if last > 0 and earlier > 0 else last

    def worth(self, p: Progress) -> float:
        return self.next_gain(p) / p.fet_of_a_pass if p.num_probes or self.looks == "none" else 0.0

    def at_price(self, price: float) -> Self:
        return replace(self, price=price)

    def next_price(self, progress: Sequence[Progress]) -> float:
        """Up when more than the target was spent, down when less, never below 0."""
        target = self.mean_passes * sum(p.fet_of_a_pass for p in progress)
        if target <= 0:
            return self.price
        spent = sum(p.passes * p.fet_of_a_pass for p in progress)
        return max(0.0, self.price + STEP * self.calibration.first_gain_per_fet * (spent / target - 1))
