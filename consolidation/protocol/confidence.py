"""Confidence: from the probability that decoding gave to an answer to the probability that the answer is right.

    P(right) = sigmoid(intercept + slope * logit(p))

Platt scaling, fitted to answers that were scored, for each way of answering apart: what a probability is worth differs between them. The
order of answers stays: a slope below 0 is taken for 0, since such a p says nothing.
What holds for the questions that it was fitted to need not hold for easier or harder ones. Knows nothing about models.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.json_text import json_text

FEWEST = 20
"""Answers below which nothing is fitted."""
NEAREST = 1e-4
"""A probability counts as no nearer to 0 or 1 than this: the logit of either is infinite."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """A fit, and how good it is."""

    intercept: float
    slope: float
    passes: int
    """The level at which the answers were asked for."""
    asked: Literal["probes", "questions"]
    """Probes made from the text, or questions that people asked about it."""
    pairs: int
    """Answers that it was fitted to."""
    base_rate: float
    """Share of them that was right."""
    brier_before: float
    """Mean squared distance of p from 1 where the answer was right and from 0 where it was wrong."""
    brier_after: float
    """The same of the fitted probability, over the answers that it was fitted to."""
    way: str = "direct"
    """How they were answered: by the adapter alone, or with the found chunk in the prompt (`search`); for others it says nothing."""
    others: "tuple[Confidence, ...]" = ()
    """The same for other ways."""

    @classmethod
    def of(
        cls,
        pairs: Sequence[tuple[float, bool]],
        passes: int = 0,
        asked: Literal["probes", "questions"] = "probes",
        way: str = "direct",
    ) -> Self | None:
        """From (probability of the answer, right or not); None for too few of them, and where all were right or all were wrong."""
        right = np.array([ok for _, ok in pairs], dtype=float)
        if len(pairs) < FEWEST or not 0 < right.sum() < len(right):
            return None
        raw = np.array([p for p, _ in pairs])
        intercept, slope = _fit(_logit(raw), _targets(right))
        fitted = _sigmoid(intercept + slope * _logit(raw))
        return cls(
            intercept=intercept,
            slope=slope,
            passes=passes,
            asked=asked,
            pairs=len(pairs),
            base_rate=float(right.mean()),
            brier_before=float(np.mean((raw - right) ** 2)),
            brier_after=float(np.mean((fitted - right) ** 2)),
            way=way,
        )

    def right(self, probability: float) -> float:
        """The probability that an answer is right to which decoding gave this probability per token."""
        return float(_sigmoid(self.intercept + self.slope * _logit(np.array(probability))))

    def of_way(self, way: str) -> "Confidence | None":
        """The fit to answers of a way; None where none was fitted."""
        return next((fit for fit in (self, *self.others) if fit.way == way), None)

    def to_dict(self) -> dict[str, Any]:
        """`others` only where there are any."""
        values = asdict(self)
        others = [fit.to_dict() for fit in self.others]
        return {key: value for key, value in values.items() if key != "others"} | ({"others": others} if others else {})

    def to_json(self) -> str:
        return json_text(self.to_dict())

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where`, for what is not such a fit."""
        try:
            values = dict(json.loads(text))
            others = tuple(cls(**other) for other in values.pop("others", ()))
            found = cls(**values, others=others)
            if not all(math.isfinite(fit.intercept) and math.isfinite(fit.slope) for fit in (found, *others)):
                raise ValueError("intercept and slope must be numbers")
        except (ValueError, TypeError) as error:
            raise MemoryFolderError(f"{where}: not a calibration of confidence ({error}); measure it again with nrem ceiling") from None
        return found


def _targets(right: np.ndarray) -> np.ndarray:
    """Platt's (1999): a little inside 0 and 1, so that answers which p tells apart without error still have a finite fit."""
    count = right.sum()
    return np.where(right == 1, (count + 1) / (count + 2), 1 / (len(right) - count + 2))


def _fit(x: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of least cross-entropy, by Newton steps, each halved until it does not go up."""
    rate = target.mean()
    flat = float(np.log(rate / (1 - rate)))
    centre, spread = float(x.mean()), float(x.std())
    if spread < 1e-9:  # every p is the same
        return flat, 0.0
    design = np.stack([np.ones_like(x), (x - centre) / spread], axis=1)  # (answer, 2)
    at = np.array([flat, 0.0])
    loss = _loss(design @ at, target)
    for _ in range(100):
        fitted = _sigmoid(design @ at)
        gradient = design.T @ (fitted - target)
        step = np.linalg.solve(design.T @ (design * (fitted * (1 - fitted))[:, None]), gradient)
        while (new := _loss(design @ (at - step), target)) > loss and np.abs(step).max() > 1e-9:
            step = step / 2
        at, gained, loss = at - step, loss - new, new
        if gained < 1e-10:
            break
    slope = float(at[1]) / spread
    return (float(at[0]) - slope * centre, slope) if slope > 0 else (flat, 0.0)


def _loss(z: np.ndarray, target: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0, z) - target * z))


def _logit(p: np.ndarray) -> np.ndarray:
    inside = np.clip(p, NEAREST, 1 - NEAREST)
    return np.asarray(np.log(inside / (1 - inside)))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))  # does not overflow
