"""A planted bank: outcomes drawn from known chances, so that the best setting is known, and what a search pays to find it can be counted.

Settings are (wording, passes, votes). Every question has a chance to be answered right by one draw under each wording and level; a setting
of n votes answers right when most of its n draws are. One wording is deceptive: best with a single draw and no better with more, since it
is sure of some questions and hopeless on the others; and the wording that is best without passes is not the one that is best after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from nrem.runtime.tune.halving import Sample

PASSES = (0, 1, 2, 4)
VOTES = (1, 3, 5, 9)
QUESTIONS = 1000
"""With 400, whoever measures everything takes another setting for the best in 27 of 200 runs; halving agrees with it in 193."""
DRAW_FET = 60.0


class Planted(NamedTuple):
    """A setting."""

    wording: int
    passes: int
    votes: int


@dataclass(frozen=True)
class Shape:
    """How one wording answers: the mean of its questions' chances at each of `PASSES`, and how alike they are (beta, a + b)."""

    means: tuple[float, float, float, float]
    alike: float
    fet: float = DRAW_FET
    """Of one draw; a longer wording costs more."""


SHAPES = (
    Shape((0.52, 0.60, 0.66, 0.66), 0.8, 66),  # deceptive: the best single draw, most questions surely right or surely wrong
    Shape((0.50, 0.55, 0.62, 0.60), 40, 72),  # the best after 2 passes with votes: every question a little more right than wrong
    Shape((0.55, 0.54, 0.53, 0.50), 4, 60),  # the best without passes, and passes harm it
    Shape((0.48, 0.54, 0.57, 0.56), 8, 60),
    Shape((0.45, 0.50, 0.55, 0.55), 6, 60),
    Shape((0.42, 0.48, 0.52, 0.52), 10, 84),
    Shape((0.35, 0.40, 0.42, 0.43), 20, 60),  # votes harm it
    Shape((0.30, 0.34, 0.36, 0.38), 2, 60),
)


@dataclass
class PlantedBank:
    """The draws of one seed; `Outcomes` for `nrem.runtime.tune.halving`."""

    seed: int
    shapes: Sequence[Shape] = SHAPES
    fet: float = 0.0
    known: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """(wording, place in `PASSES`, question) -> draws made."""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        most = VOTES[-1]
        chances = np.stack(
            [[rng.beta(m * shape.alike, (1 - m) * shape.alike, QUESTIONS) for m in shape.means] for shape in self.shapes]
        )  # (wording, level, question)
        draws = rng.random((*chances.shape, most)) < chances[..., None]
        shape = chances.shape
        self._right = {n: draws[..., : most // n * n].reshape(*shape, most // n, n).sum(-1) * 2 > n for n in VOTES}
        self._rows: dict[tuple[int, tuple[int, int]], list[list[float]]] = {}

    def forget(self) -> None:
        """Nothing was asked yet."""
        self.fet = 0.0
        self.known.clear()

    def families(self) -> list[list[Planted]]:
        """Settings that draw the same, fewest votes first."""
        return [[Planted(w, p, n) for n in VOTES] for w in range(len(self.shapes)) for p in PASSES]

    def samples(self, setting: Planted, question: int) -> list[Sample]:
        place = (setting.wording, PASSES.index(setting.passes), question)
        made, n = self.known.get(place, 0), setting.votes
        fet = n * self.shapes[setting.wording].fet
        if (rows := self._rows.get((n, place[:2]))) is None:
            rows = self._rows[n, place[:2]] = self._right[n][place[:2]].astype(float).tolist()  # far quicker than array by array
        return [Sample(right, fet) for right in rows[question][: made // n]]

    def ask(self, setting: Planted, questions: Sequence[int]) -> float:
        fet = 0.0
        for question in questions:
            place = (setting.wording, PASSES.index(setting.passes), question)
            more = max(0, setting.votes - self.known.get(place, 0))
            self.known[place] = self.known.get(place, 0) + more
            fet += more * self.shapes[setting.wording].fet
        self.fet += fet
        return fet

    def measured_best(self) -> Planted:
        """What whoever measures everything takes for the best."""
        means = {n: right.mean((2, 3)) for n, right in self._right.items()}  # (wording, level)
        return max((s for family in self.families() for s in family), key=lambda s: means[s.votes][s.wording, PASSES.index(s.passes)])

    @property
    def exhaustive_fet(self) -> float:
        """Everything on every question, draws reused."""
        return sum(shape.fet for shape in self.shapes) * len(PASSES) * VOTES[-1] * QUESTIONS

    @property
    def exhaustive_fet_without_reuse(self) -> float:
        """The same with draws of its own for every number of votes."""
        return self.exhaustive_fet * sum(VOTES) / VOTES[-1]


def true_scores(shapes: Sequence[Shape] = SHAPES, points: int = 20_000) -> dict[Planted, float]:
    """The chance of every setting to answer right, over all questions that could be asked."""
    found, rng = {}, np.random.default_rng(12345)
    for w, shape in enumerate(shapes):
        for p, mean in zip(PASSES, shape.means, strict=True):
            chances = rng.beta(mean * shape.alike, (1 - mean) * shape.alike, points)
            for n in VOTES:
                found[Planted(w, p, n)] = float(_majority(chances, n).mean())
    return found


def _majority(chances: np.ndarray, n: int) -> np.ndarray:
    """The chance that more than half of n draws are right, for each chance of one (recursion over draws)."""
    right = np.zeros((n + 1, len(chances)))
    right[0] = 1.0
    for _ in range(n):
        right[1:] = right[1:] * (1 - chances) + right[:-1] * chances
        right[0] = right[0] * (1 - chances)
    return right[n // 2 + 1 :].sum(axis=0)
