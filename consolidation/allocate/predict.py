"""What passes will give a chunk, predicted from what is known before the first one, and whether such predictions may be trusted.

One ridge regression on standardised signals for all levels, shrunk towards the mean curve; the gate asks, out of fold by document, whether
levels chosen by it beat the same FET spread evenly. Ungated predictions lose to uniform unless they are good (`greedy`).

Axes: curve (of a calibration table), signal, level.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from nrem.consolidation.allocate.allocator import Exit, Progress, Terms
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.allocate.hull import hull_levels
from nrem.memory.errors import UsageError

READ = ("surprisal", "surprisal_median")
"""Signals that reading leaves: they cost nothing more."""
SIGNALS = ("num_tokens", *READ, "nll_before", "recall_before")
"""Those that a first look at the probes adds to."""
PRIOR_CURVES = 10.0
"""The weight of the mean curve, in curves."""
FURTHEST = 2.5
"""Standard deviations beyond which a signal counts as no further away: nothing is extrapolated."""
FOLDS = 5
PASSING_T = 1.0


def at_levels(table: CurveTable, levels: Sequence[int]) -> CurveTable:
    """The same curves at other levels, by straight lines between those that were measured, level beyond the last."""

    def moved(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(v) for v in np.interp(levels, table.levels, values))

    curves = tuple(
        replace(c, nll=moved(c.nll), recall=moved(c.recall), control=moved(c.control) if c.control else ()) for c in table.curves
    )
    return CurveTable(levels=tuple(levels), curves=curves)


def signals_of(p: Progress) -> dict[str, float]:
    """What is known of a chunk before its first pass, by the names of a table."""
    return p.signals | ({"nll_before": p.nll[0], "recall_before": p.recall[0]} if p.nll else {})


@dataclass(frozen=True, kw_only=True)
class GainPredictor:
    """Cumulative gain in answer NLL at each level of a table, nats per token."""

    levels: tuple[int, ...]
    names: tuple[str, ...]
    center: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    """The mean curve, by level."""
    weights: np.ndarray
    """(signal, level)"""

    @classmethod
    def fit(cls, levels: Sequence[int], curves: Sequence[Curve], names: Sequence[str] = SIGNALS) -> Self:
        """From measured curves; a signal that some of them lack is left out."""
        names = tuple(name for name in names if all(name in c.signals for c in curves))
        x = np.array([[c.signals[name] for name in names] for c in curves]).reshape(len(curves), len(names))
        gains = np.array([[c.gain(k) for k in range(len(levels))] for c in curves])
        center, scale = x.mean(0), np.maximum(x.std(0), 1e-9)
        z = np.clip((x - center) / scale, -FURTHEST, FURTHEST)
        mean = gains.mean(0)
        weights = np.linalg.solve(z.T @ z + PRIOR_CURVES * np.eye(len(names)), z.T @ (gains - mean))
        return cls(levels=tuple(levels), names=names, center=center, scale=scale, mean=mean, weights=weights)

    def predict(self, signals: Mapping[str, float]) -> list[float]:
        """The curve of a chunk with these signals; 0 at level 0, and one that it lacks counts as average."""
        x = np.array([signals.get(name, middle) for name, middle in zip(self.names, self.center, strict=True)])
        z = np.clip((x - self.center) / self.scale, -FURTHEST, FURTHEST)
        return [float(g) for g in self.mean + z @ self.weights]

    def next_gain(self, p: Progress) -> float:
        """The best gain of a chunk per pass from where it is, nats per token; 0 beyond the last level."""
        gains = self.predict(signals_of(p))
        had = max((g for level, g in zip(self.levels, gains, strict=True) if level <= p.passes), default=0.0)
        further = [(g - had) / (level - p.passes) for level, g in zip(self.levels, gains, strict=True) if level > p.passes]
        return max(further, default=0.0)

    @property
    def usual_surprisal(self) -> float:
        """Of the chunks that it was fitted on, nats per token."""
        return float(self.center[self.names.index("surprisal")]) if "surprisal" in self.names else 0.0


def reason_of(p: Progress, predictor: GainPredictor) -> Exit:
    """Why a chunk that gets no more leaves: nothing pays (what reads easily is known already), the FET is elsewhere, or its curve ends."""
    gains = predictor.predict(signals_of(p))
    best = max(range(len(gains)), key=gains.__getitem__)
    if gains[best] <= 0 or (p.granted is None and not p.passes):
        return "solved" if p.signals.get("surprisal", float("inf")) < predictor.usual_surprisal else "hopeless"
    return "budget" if p.granted is not None and p.passes < predictor.levels[best] else "cap"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether predicted levels beat even ones on documents that the prediction has not seen, at the same FET."""

    passed: bool
    gain: float
    """Mean difference in answer NLL over documents, nats per token; above 0 where the predicted levels are better."""
    t: float
    """The mean over its standard error; 0 where there are too few documents to tell."""
    documents: int

    @classmethod
    def of(cls, calibration: "Calibration", mean_passes: float) -> Self:
        """Cross-validated by document at a budget of `mean_passes` a chunk."""
        table = calibration.table
        names = sorted({c.document for c in table.curves})
        random.Random(0).shuffle(names)
        by_document: dict[str, list[float]] = {name: [] for name in names}
        for fold in (names[k :: min(FOLDS, len(names))] for k in range(min(FOLDS, len(names)))):
            seen = [c for c in table.curves if c.document not in fold]
            asked = [c for c in table.curves if c.document in fold]
            if seen:
                for curve, difference in zip(asked, _against_even(calibration, seen, asked, mean_passes), strict=True):
                    by_document[curve.document].append(difference)
        means = [sum(values) / len(values) for values in by_document.values() if values]
        if len(means) < 3:
            return cls(passed=False, gain=0.0, t=0.0, documents=len(means))
        gain, error = float(np.mean(means)), float(np.std(means, ddof=1)) / len(means) ** 0.5
        t = gain / error if error > 0 else 0.0
        return cls(passed=t > PASSING_T, gain=gain, t=t, documents=len(means))


def _against_even(calibration: "Calibration", seen: Sequence[Curve], asked: Sequence[Curve], mean_passes: float) -> list[float]:
    """Every asked curve's gain at its predicted level, less that at the even level which costs as much in all."""
    levels = calibration.table.levels
    predictor = GainPredictor.fit(levels, seen, calibration.signals)
    costs = [c.pass_fet for c in asked]
    chosen = hull_levels(levels, [predictor.predict(c.signals) for c in asked], costs, mean_passes * sum(costs))
    even = sum(level * cost for level, cost in zip(chosen, costs, strict=True)) / sum(costs)
    gains = [[c.gain(k) for k in range(len(levels))] for c in asked]
    return [row[levels.index(level)] - float(np.interp(even, levels, row)) for row, level in zip(gains, chosen, strict=True)]


@dataclass(frozen=True)
class Calibration:
    """A table as allocators use it: its mean curve and the gain predictor, made once."""

    table: CurveTable
    signals: tuple[str, ...] = READ
    """What predictions may use."""

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None, allocator: str) -> Self:
        """At every level that a sleep may reach, from what is known where it looks between passes, and where it does not.

        Raises `UsageError` for an allocator that gets no curves and cannot do without.
        """
        if curves is None:
            raise UsageError(
                f"sleep.allocator: {allocator} needs measured curves, got none: measure them with nrem ceiling, or name a file "
                "with --set sleep.curves=FILE"
            )
        return cls(at_levels(curves, range(terms.passes + 1)), SIGNALS if terms.looks_between else READ)

    @cached_property
    def predictor(self) -> GainPredictor:
        return GainPredictor.fit(self.table.levels, self.table.curves, self.signals)

    @property
    def first_gain(self) -> float:
        """Nats that a first pass gives on average; where later passes give more, their average counts."""
        levels, mean = self.table.levels, self.predictor.mean
        return max((float(g) / level for level, g in zip(levels[1:], mean[1:], strict=True)), default=0.0)

    @property
    def decay(self) -> float:
        """What the next pass gives, as a share of the one before it, on average; 1/2 where only one level was measured."""
        levels, mean = self.table.levels, self.predictor.mean
        if len(levels) < 3 or mean[1] <= 0:
            return 0.5
        first, second = mean[1] / levels[1], (mean[2] - mean[1]) / (levels[2] - levels[1])
        return float(np.clip(second / first, 0.0, 1.0))

    def price_at(self, mean_passes: float) -> float:
        """Where `mean_passes` a chunk are bought: nats per FET of the first one that is not, on the mean curve; 0 where all are."""
        levels, mean = self.table.levels, self.predictor.mean
        bought = next((k for k, level in enumerate(levels) if level >= mean_passes), len(levels))
        if bought + 1 >= len(levels):
            return 0.0
        gain = float(mean[bought + 1] - mean[bought]) / (levels[bought + 1] - levels[bought])
        return max(0.0, gain) / self.mean_pass_fet

    @property
    def mean_pass_fet(self) -> float:
        return float(np.mean([c.pass_fet for c in self.table.curves]))

    @property
    def first_gain_per_fet(self) -> float:
        """The scale of a price."""
        return self.first_gain / self.mean_pass_fet
