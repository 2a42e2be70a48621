"""Allocators on a measured table: what any of them would have done, what it would have cost, and the controls that need the whole table.

A table is replayed through the allocator's own code, round by round, under a hard cap that passes and looks are charged to. Levels are
0, 1, 2, ... passes. Curves that decide and curves that score are different tables of the same chunks: what chose must not judge.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from nrem.consolidation.allocate.allocator import Allocator, Exit, Progress, leave
from nrem.consolidation.allocate.curves import Curve
from nrem.consolidation.allocate.hull import ROUNDING, hull_bound
from nrem.consolidation.allocate.predict import READ

LOOK = "look_fet"
"""The signal that says what one look at a chunk's probes costs."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What an allocator did with some chunks."""

    progress: tuple[Progress, ...]
    pass_fet: float
    look_fet: float

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        progress = tuple(p for part in parts for p in part.progress)
        return cls(progress=progress, pass_fet=sum(p.pass_fet for p in parts), look_fet=sum(p.look_fet for p in parts))

    @property
    def levels(self) -> tuple[int, ...]:
        return tuple(p.passes for p in self.progress)

    @property
    def exits(self) -> tuple[Exit, ...]:
        return tuple(p.exit for p in self.progress if p.exit)

    @property
    def fet(self) -> float:
        """Estimation included."""
        return self.pass_fet + self.look_fet


def replay(curves: Sequence[Curve], allocator: Allocator, budget_fet: float) -> Replay:
    """Run an allocator over these chunks as a sleep does; never costs more than the budget."""
    looks = [curve.signals.get(LOOK, 0.0) if curve.num_probes else 0.0 for curve in curves]
    passes = [curve.pass_fet for curve in curves]
    every, blind = allocator.looks == "every", allocator.looks == "none"
    spent = {"pass": 0.0, "look": 0.0}
    progress = [_known(i, curve) if blind else _first_look(i, curve, looks[i] if every else 0.0) for i, curve in enumerate(curves)]

    def fits(chunks: Sequence[Progress]) -> bool:
        cost = sum(passes[p.chunk] + (looks[p.chunk] if every else 0.0) for p in chunks)
        return sum(spent.values()) + cost <= budget_fet * (1 + ROUNDING)

    if not blind:
        if sum(looks) > budget_fet:
            leave(progress, {p.chunk: "budget" for p in progress})
            return Replay(progress=tuple(progress), pass_fet=0.0, look_fet=0.0)
        spent["look"] = sum(looks)
    allocator.plan(progress, budget_fet - spent["look"])
    leave(progress, allocator.exits(progress))
    while active := [p for p in progress if p.exit is None]:
        ranked = sorted(active, key=allocator.worth, reverse=True)
        while ranked and not fits(ranked):
            ranked.pop().exit = "budget"
        for p in ranked:
            p.passes += 1
            spent["pass"] += passes[p.chunk]
            if every:
                spent["look"] += looks[p.chunk]
                p.looked_at.append(p.passes)
                p.nll.append(curves[p.chunk].nll[p.passes])
                p.recall.append(curves[p.chunk].recall[p.passes])
        leave(ranked, allocator.exits(ranked))
    return Replay(progress=tuple(progress), pass_fet=spent["pass"], look_fet=spent["look"])


def gains_at(curves: Sequence[Curve], levels: Sequence[int]) -> list[float]:
    """What every chunk gained at its level."""
    return [curve.gain(level) for curve, level in zip(curves, levels, strict=True)]


def even_gains(curves: Sequence[Curve], fet: float) -> list[float]:
    """What every chunk gains when this FET is spread evenly: between two levels, what a fair draw of those that get one more would give."""
    level = fet / sum(curve.pass_fet for curve in curves)
    return [float(np.interp(level, range(len(curve.nll)), [curve.gain(k) for k in range(len(curve.nll))])) for curve in curves]


def oracle_gains(curves: Sequence[Curve], fet: float) -> list[float]:
    """The best that this FET can buy with the curves known, the last step in part: no allocation, drawn or not, gains more in all."""
    return hull_bound(*_columns(curves), fet)


def shuffled_levels(levels: Sequence[int], seed: int) -> list[int]:
    """The same histogram of levels, dealt out at random: the control for everything that chooses."""
    return random.Random(seed).sample(list(levels), len(levels))


def shuffled_gains(curves: Sequence[Curve], levels: Sequence[int]) -> list[float]:
    """What every chunk gains on average over all ways to deal out these levels."""
    return [sum(curve.gain(level) for level in levels) / len(levels) for curve in curves]


def _columns(curves: Sequence[Curve]) -> tuple[list[int], list[list[float]], list[float]]:
    levels = list(range(len(curves[0].nll)))
    return levels, [[curve.gain(k) for k in levels] for curve in curves], [curve.pass_fet for curve in curves]


def _known(chunk: int, curve: Curve) -> Progress:
    """What reading left; nothing has been asked."""
    signals = {name: curve.signals[name] for name in ("num_tokens", *READ) if name in curve.signals}
    return Progress(chunk=chunk, num_probes=curve.num_probes, signals=signals | {"pass_fet": curve.pass_fet})


def _first_look(chunk: int, curve: Curve, look_fet: float) -> Progress:
    signals = {k: v for k, v in curve.signals.items() if k != LOOK} | {"pass_fet": curve.pass_fet, LOOK: look_fet}
    recall, nll = [curve.recall[0]], [curve.nll[0]]
    return Progress(chunk=chunk, num_probes=curve.num_probes, looked_at=[0], signals=signals, recall=recall, nll=nll)
