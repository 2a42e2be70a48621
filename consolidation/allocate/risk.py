"""The threshold of the hopeless exit, chosen for a risk that the user states, not guessed (conformal risk control, arXiv 2602.03814).

A chunk is lost when it leaves as hopeless although later levels would have gained; the threshold is the greatest at which the lost are at
most the stated share of those that had something to gain. Knows nothing about models.
"""

from statistics import fmean

from nrem.consolidation.allocate.allocator import Terms
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.allocate.predict import at_levels

WORTH = 0.05
"""Nats per token below which a later gain is none; above what noise between two looks alone shows."""


def progress_needed(terms: Terms, curves: CurveTable | None) -> float | None:
    """The threshold for a sleep's own looks; None where the curves are too few to promise anything, and `min_progress` holds."""
    if curves is None:
        return None
    return calibrated_progress(at_levels(curves, range(0, terms.passes + 1, terms.look_every)), terms.risk, terms.patience)


def calibrated_progress(table: CurveTable, risk: float, patience: int = 1) -> float | None:
    """The `min_progress` for looks at the table's levels; minus infinity where no threshold keeps the risk: then no chunk is hopeless.

    Corrected for the size of the table, (lost + 1) / (had something to gain + 1); None below about 1 / risk such curves, which is too few
    to promise anything.
    """
    tries = [(steps, _left_over(curve)) for curve in table.curves if (steps := _progress(curve, patience))]
    gaining = [(steps, left) for steps, left in tries if max(left[patience:]) > WORTH]
    if 1 / (len(gaining) + 1) > risk:
        return None
    best = float("-inf")
    for threshold in sorted({step for steps, _ in tries for step in steps} | {WORTH}):
        lost = sum(_is_lost(steps, left, threshold, patience) for steps, left in gaining)
        if (lost + 1) / (len(gaining) + 1) > risk:
            break
        best = threshold
    return best


def _progress(curve: Curve, patience: int) -> list[float]:
    """Over the last `patience` looks, at each level from that on, except the last, where nothing is left to decide."""
    positions = range(patience, len(curve.nll) - 1)
    return [max(curve.recall[k] - curve.recall[k - patience], curve.nll[k - patience] - curve.nll[k]) for k in positions]


def _left_over(curve: Curve) -> list[float]:
    """What the later levels would still gain on average, at each level but the last; the best of them would be chosen for its noise."""
    return [curve.nll[k] - fmean(curve.nll[k + 1 :]) for k in range(len(curve.nll) - 1)]


def _is_lost(steps: list[float], left: list[float], threshold: float, patience: int) -> bool:
    """Whether it leaves below the threshold with something left to gain."""
    leaves = next((k for k, step in enumerate(steps) if step < threshold), None)
    return leaves is not None and left[leaves + patience] > WORTH
