"""What an arm saves: how much less FET it spent than the fixed number of passes that gains as much. Knows nothing about arms."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.allocation.replay import even_gains
from nrem.consolidation.allocate.curves import Curve
from nrem.consolidation.resample import Resampler, interval

STEPS = 8
"""Amounts between one pass a chunk and the next that the fixed number is tried at."""


@dataclass
class Savings:
    """A row for every document: what was spent and gained there, and what every fixed number of passes would have gained."""

    documents: list[str] = field(default_factory=list)
    fet: list[float] = field(default_factory=list)
    gained: list[float] = field(default_factory=list)
    pass_fet: list[float] = field(default_factory=list)
    even: list[list[float]] = field(default_factory=list)

    def add(self, curves: Sequence[Curve], gains: Sequence[float], fet: float) -> None:
        """One document: its scored curves, what the arm gained on each, what it spent, looks included."""
        asked = [bool(c.num_probes) for c in curves]
        pass_fet, most = sum(c.pass_fet for c in curves), len(curves[0].nll) - 1
        self.documents.append(curves[0].document)
        self.fet.append(fet)
        self.gained.append(sum(g for g, counts in zip(gains, asked, strict=True) if counts))
        self.pass_fet.append(pass_fet)
        amounts = np.linspace(0, most, STEPS * most + 1) * pass_fet
        self.even.append([sum(g for g, counts in zip(even_gains(curves, f), asked, strict=True) if counts) for f in amounts])

    def report(self) -> dict[str, float | None]:
        """The share saved, with its interval by document; where no fixed number gains as much, against the one that gains most."""
        resampler, columns = Resampler(self.documents), list(zip(*self.even, strict=True))
        fet, gained, pass_fet = (resampler.sums(x, self.documents) for x in (self.fet, self.gained, self.pass_fet))
        even = np.stack([resampler.sums(column, self.documents) for column in columns], axis=1)
        drawn = np.array([_saved(*row) for row in zip(fet, gained, pass_fet, even, strict=True)])
        low, high = interval(drawn) or (None, None)
        return {"mean": _saved(sum(self.fet), sum(self.gained), sum(self.pass_fet), np.sum(self.even, axis=0)), "low": low, "high": high}


def _saved(fet: float, gained: float, pass_fet: float, even: np.ndarray) -> float:
    best = np.maximum.accumulate(even)
    reached = int(np.searchsorted(best, min(gained, best[-1])))
    if reached == 0:
        return 0.0 if fet == 0 else float("nan")
    share = (min(gained, best[-1]) - best[reached - 1]) / (best[reached] - best[reached - 1])
    return float(1 - fet / (pass_fet * (reached - 1 + share) / STEPS))
