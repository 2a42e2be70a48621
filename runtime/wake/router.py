"""The router: which way a question is worth, from what is known after the direct answer. `answer.way = "router"`.

    P(right | way, features) = sigmoid(intercept + weights . features), one logistic head a way, fitted to answers that were scored

A way is bought when it gains the most points, less its price: 100 P(right) - price * FET / 1000. The direct answer is made in any case and
is part of every price. Fitted with L2 on standardised features, so few questions give flat heads and not wild ones. Knows nothing about how
outcomes were measured; `nrem calibrate` fits it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from nrem.consolidation.logistic import fit_logistic, sigmoid
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.validated import STRICT, validated
from nrem.runtime.wake.decode import Answer
from nrem.runtime.wake.features import FEATURES

FILE = "router.json"
FIRST = "direct"
"""The way whose answer the features are taken from."""
FEWEST = 20
"""Questions below which nothing is fitted."""
L2 = 2.0
"""Penalty on the weights, in questions."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question that was asked in every way."""

    group: str
    """Its document: examples of one group are held out together."""
    features: tuple[float, ...]
    right: Mapping[str, float]
    """1 or 0, by way."""
    fet: Mapping[str, float]
    """Of the answer alone, by way."""
    documents: tuple[str, ...] = ()
    """sha256 of each document of its memory."""
    question: str = ""
    """sha256 of its text and its answers."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, **{key: tuple(values[key]) for key in ("features", "documents") if key in values}})


@dataclass(frozen=True)
class Head:
    """One way's logistic regression over standardised features, and what its answers cost on average."""

    __pydantic_config__ = STRICT

    intercept: float
    weights: tuple[float, ...]
    fet: float


@dataclass(frozen=True, kw_only=True)
class Router:
    """A head a way, and how features are standardised."""

    __pydantic_config__ = STRICT

    heads: Mapping[str, Head]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    questions: int
    """That it was fitted to."""
    groups: int
    """Documents that these were about."""
    features: tuple[str, ...] = FEATURES

    @classmethod
    def fit(cls, examples: Sequence[Example], fewest: int = FEWEST) -> Self:
        """A head for each way that so many were asked in, from those. Raises `UsageError` for too few examples, or one without a direct
        answer."""
        if len(examples) < fewest or any(FIRST not in e.right for e in examples):
            raise UsageError(f"calibrate: got {len(examples)} questions, expected {fewest} or more, each answered by {FIRST} among others")
        ways = dict.fromkeys(way for e in examples for way in e.right)
        asked = {way: [n for n, e in enumerate(examples) if way in e.right] for way in ways}
        raw = np.array([e.features for e in examples])  # (question, feature)
        mean, scale = raw.mean(0), raw.std(0)
        scale = np.where(scale < 1e-9, 1.0, scale)
        design = (raw - mean) / scale
        heads = {}
        for way, numbers in asked.items():
            if len(numbers) >= fewest:
                intercept, weights = fit_logistic(design[numbers], np.array([examples[n].right[way] for n in numbers]), L2)
                heads[way] = Head(intercept, tuple(weights), float(np.mean([examples[n].fet[way] for n in numbers])))
        groups = len({e.group for e in examples})
        return cls(heads=heads, mean=tuple(mean.tolist()), scale=tuple(scale.tolist()), questions=len(examples), groups=groups)

    def right(self, features: Sequence[float]) -> dict[str, float]:
        """The probability that each way answers this question right."""
        z = (np.array(features) - self.mean) / self.scale
        return {way: float(sigmoid(head.intercept + np.dot(head.weights, z))) for way, head in self.heads.items()}

    def choose(self, features: Sequence[float], price: float, ways: Sequence[str] = ()) -> str:
        """The way that gains most at a price of points for 1,000 FET, the cheaper of equals; of `ways` only, where some are named."""
        chances = {way: p for way, p in self.right(features).items() if not ways or way in ways}
        extra = {way: 0.0 if way == FIRST else self.heads[way].fet for way in chances}
        return max(chances, key=lambda way: (100 * chances[way] - price * extra[way] / 1000, -extra[way]))

    def to_json(self) -> str:
        return json_text(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where`, for what is not such a router, and for one with other features."""
        try:
            found = validated(cls, text)
            if not all(found.scale):
                raise ValueError("no scale may be 0")
            counts = {len(found.mean), len(found.scale), *(len(head.weights) for head in found.heads.values())}
            if found.features != FEATURES or counts != {len(FEATURES)}:
                raise ValueError("it was fitted to other features")
            if FIRST not in found.heads:
                raise ValueError(f"it has no head for {FIRST}")
        except ValueError as error:
            raise MemoryFolderError(f"{where}: not a router of this nrem ({error}); make it again with nrem calibrate") from None
        return found


def read_router(folder: Path) -> Router:
    """What `nrem calibrate` has left for a base model and protocol; raises `UsageError` where it has not."""
    path = folder / FILE
    if not path.is_file():
        raise UsageError(
            "way router: nothing was calibrated for this base model and protocol; run nrem calibrate MEMORY --questions FILE, "
            "or name another way"
        )
    return Router.from_json(path.read_bytes(), str(path))


def routed(answers: Sequence[Answer], chosen: Sequence[str], ask: Callable[[Sequence[str], str], list[Answer]]) -> list[Answer]:
    """The answers of the ways that were chosen, in the order of the direct `answers`, which are part of each price."""
    found = dict(enumerate(answers))
    for way in dict.fromkeys(chosen):
        numbers = [n for n, name in enumerate(chosen) if name == way and way != FIRST]
        if numbers:
            for n, answer in zip(numbers, ask([answers[n].question for n in numbers], way), strict=True):
                first = answers[n]
                found[n] = replace(answer, fet=round(first.fet + answer.fet, 1), seconds=first.seconds + answer.seconds)
    return [found[n] for n in range(len(answers))]
