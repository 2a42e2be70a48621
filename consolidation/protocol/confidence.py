"""Confidence: from the probability that decoding gave to an answer to the probability that the answer is right.

    P(right) = sigmoid(intercept + slope * logit(p))

Platt scaling, fitted to answers that were scored, for each way of answering apart: what a probability is worth differs between them. The
order of answers stays: a slope below 0 is taken for 0, since such a p says nothing.
What holds for the questions that it was fitted to need not hold for easier or harder ones. Knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np

from nrem.consolidation.logistic import fit_logistic, logit, sigmoid
from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.validated import STRICT, validated

FEWEST = 20
"""Answers below which nothing is fitted."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """A fit, and how good it is."""

    __pydantic_config__ = STRICT

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
    """How they were answered; of another way this fit says nothing."""
    others: "tuple[Confidence, ...]" = ()
    """The fits of other ways."""

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
        intercept, slope = _fit(raw, right)
        fitted = sigmoid(intercept + slope * logit(raw))
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
        return float(sigmoid(self.intercept + self.slope * logit(np.array(probability))))

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
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where`, for what is not such a fit."""
        try:
            return validated(cls, text)
        except ValueError as error:
            raise MemoryFolderError(f"{where}: not a calibration of confidence ({error}); measure it again with nrem ceiling") from None


def _fit(raw: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Intercept and slope."""
    x = logit(raw)
    centre, spread = float(x.mean()), float(x.std())
    flat = fit_logistic(np.empty((len(x), 0)), right)[0], 0.0
    if spread < 1e-9:  # every p is the same
        return flat
    intercept, [weight] = fit_logistic((x - centre)[:, None] / spread, right)
    slope = float(weight) / spread
    return (intercept - slope * centre, slope) if slope > 0 else flat
