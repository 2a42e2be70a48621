"""What a router is worth: its answers at several prices, held out by document, against every constant mixture of ways at equal FET.

A constant mixture asks each question in a way that is drawn by lot; at a given FET the best one lies on the upper hull of the ways. Plain
arithmetic over examples.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nrem.consolidation.resample import Interval, Resampler, drawn_by, interval
from nrem.runtime.wake.router import FIRST, Example, Router

PRICES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Points of accuracy for 1,000 FET."""
FOLDS = 5
"""Where all questions are of one document, each fold is some of them."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The router at one price; points are hundredths of right answers."""

    price: float
    points: float
    fet: float
    """Of a question, the direct answer included."""
    mixture: float
    """Points of the best constant mixture for the same FET."""
    gain: Interval
    """`points - mixture`, middle 95 % of resamples by document (by question, of few documents)."""
    shares: dict[str, float]
    """How often each way was bought."""
    questions: int
    """That this was measured on: those that were asked in all of these ways."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def held_out(
    examples: Sequence[Example], prices: Sequence[float] = PRICES, ways: Sequence[str] = (), others: Sequence[Example] = ()
) -> list[list[str]]:
    """For each price the way of every question, one of `ways`, chosen by a router that has seen no question of its document; it has seen
    `others`, too, as far as they are of another."""
    folds = _folds(examples)
    chosen = [[FIRST] * len(examples) for _ in prices]
    for fold in sorted(set(folds)):
        seen = [e for e, f in zip(examples, folds, strict=True) if f != fold] + [e for e in others if e.group != fold]
        router = Router.fit(seen, fewest=1)
        for n in (n for n, f in enumerate(folds) if f == fold):
            for some, price in zip(chosen, prices, strict=True):
                some[n] = router.choose(examples[n].features, price, ways)
    return chosen


def exchange(
    examples: Sequence[Example], prices: Sequence[float] = PRICES, router: Router | None = None, ways: Sequence[str] = ()
) -> list[Exchange]:
    """A row a price, on the questions that were asked in all of `ways`, by default those of the first; of a router that was fitted to
    something else, where one is given."""
    ways = list(ways or examples[0].right)
    others = [e for e in examples if not set(ways) <= e.right.keys()]
    examples = [e for e in examples if set(ways) <= e.right.keys()]
    units = drawn_by([e.group for e in examples])[1]
    resampler = Resampler(units)
    right = {way: [100 * e.right[way] for e in examples] for way in ways}
    fet = {way: [e.fet[way] for e in examples] for way in ways}
    found = []
    if router is None:
        choices = held_out(examples, prices, ways, others)
    else:
        choices = [[router.choose(e.features, price, ways) for e in examples] for price in prices]
    for price, chosen in zip(prices, choices, strict=True):
        points = [100 * e.right[way] for e, way in zip(examples, chosen, strict=True)]
        spent = [e.fet[FIRST] + (0.0 if way == FIRST else e.fet[way]) for e, way in zip(examples, chosen, strict=True)]
        mixed = _hull(float(np.mean(spent)), {w: (float(np.mean(fet[w])), float(np.mean(right[w]))) for w in ways})
        drawn = [resampler.means(values, units) for values in (points, spent)]
        ways_drawn = {w: (resampler.means(fet[w], units), resampler.means(right[w], units)) for w in ways}
        gains = np.array(
            [p - _hull(s, {w: (f[i], r[i]) for w, (f, r) in ways_drawn.items()}) for i, (p, s) in enumerate(zip(*drawn, strict=True))]
        )
        mean = float(np.mean(points))
        low, high = interval(gains) or (float("nan"), float("nan"))
        shares = {way: chosen.count(way) / len(chosen) for way in ways}
        gain = Interval(mean - mixed, low, high)
        fet_spent, count = float(np.mean(spent)), len(examples)
        found.append(Exchange(price=price, points=mean, fet=fet_spent, mixture=mixed, gain=gain, shares=shares, questions=count))
    return found


def _hull(fet: float, ways: dict[str, tuple[float, float]]) -> float:
    """The most that a mixture of ways scores for at most this FET a question; the cheapest way's score below its price."""
    points = sorted(ways.values())
    best = max((right for cost, right in points if cost <= fet), default=points[0][1])
    for cost, right in points:
        for dearer, more in points:
            if cost <= fet < dearer:
                best = max(best, right + (more - right) * (fet - cost) / (dearer - cost))
    return best


def _folds(examples: Sequence[Example]) -> list[str]:
    groups = [e.group for e in examples]
    return groups if len(set(groups)) > 1 else [str(n % FOLDS) for n in range(len(examples))]
