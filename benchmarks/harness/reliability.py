"""Reliability: is an answer right as often as its confidence says? Brier score, and five bins. Knows nothing about models."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from nrem.consolidation.protocol.confidence import Confidence

BINS = 5


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """The Brier score, and for each fifth of the scale how many answers fall there, their mean confidence and the share that was right.

    >>> reliability([0.1, 0.9, 0.9], [False, True, False])["bins"][-1]
    {'from': 0.8, 'to': 1.0, 'n': 2, 'confidence': 0.9, 'right': 0.5}
    """
    bins = []
    for number in range(BINS):
        inside = [i for i, value in enumerate(confidence) if min(int(value * BINS), BINS - 1) == number]
        bins.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "n": len(inside),
                "confidence": fmean(confidence[i] for i in inside) if inside else None,
                "right": fmean(right[i] for i in inside) if inside else None,
            }
        )
    return {"brier": brier(confidence, right), "mean": fmean(confidence), "right": fmean(right), "bins": bins}


def brier(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Mean squared distance of confidence from 1 where the answer was right and from 0 where it was wrong."""
    return fmean((value - ok) ** 2 for value, ok in zip(confidence, right, strict=True))


def from_others(probability: Sequence[float], right: Sequence[bool], groups: Sequence[str]) -> list[float] | None:
    """Confidence calibrated on the questions of all other groups: what a calibration on questions like these would be worth; None where
    there are too few."""
    found: list[float] = []
    fits: dict[str, Confidence | None] = {}
    for group, p in zip(groups, probability, strict=True):
        if group not in fits:
            fits[group] = Confidence.of([(q, ok) for q, ok, other in zip(probability, right, groups, strict=True) if other != group])
        if (fit := fits[group]) is None:
            return None
        found.append(fit.right(p))
    return found
