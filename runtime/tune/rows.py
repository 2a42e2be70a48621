"""What was measured of one setting: what every question got, and what it costs. Knows nothing about models or files."""

from dataclasses import dataclass, field
from statistics import fmean
from typing import Self

from nrem.consolidation.prompts import OWN_WORDING
from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.memory.saved.validated import STRICT
from nrem.runtime.measure.evaluate import Outcome
from nrem.runtime.tune.setting import ALONE, Setting

ESTIMATION = ("probes", "guard")
"""Kinds of work that decide, and write nothing."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question under one setting."""

    __pydantic_config__ = STRICT

    id: str
    answer: str
    nll: float
    """Of the first accepted answer, nats per token."""
    f1: float
    em: float
    fet: float
    seconds: float
    right: float = 0.0
    """1 where it is right by the data's own rule, the exact match where it has none."""
    token_confidence: float = 0.0
    """As `Answer.token_confidence`."""
    answer_tokens: int = 0
    cut: bool = False
    """Whether the text was too long for the prompt, and its middle left out."""

    @classmethod
    def of(cls, outcome: Outcome, cut: bool = False) -> Self:
        o, a = outcome, outcome.answer
        return cls(
            id=o.question.id,
            answer=a.answer,
            nll=o.nll,
            f1=o.score.f1,
            em=o.score.em,
            fet=a.fet,
            seconds=a.seconds,
            right=o.score.accuracy,
            token_confidence=a.token_confidence,
            answer_tokens=a.answer_tokens,
            cut=cut,
        )


@dataclass(frozen=True, kw_only=True)
class Slept:
    """What a sleep to one level costs from the first token on, by kind of work."""

    __pydantic_config__ = STRICT

    fet: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rolled_back: int = 0
    """Sleeps that the guard did not keep at this level."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting, and the questions that it was asked."""

    passes: int | None
    """Passes that every chunk had; None for the document in the prompt."""
    asked: tuple[Asked, ...]
    way: str = ALONE
    wording: str = OWN_WORDING
    fet: dict[str, float] = field(default_factory=dict)
    """What the sleep to this level costs from the first token on, by kind of work."""
    seconds: dict[str, float] = field(default_factory=dict)
    rolled_back: int = 0
    """Sleeps that the guard did not keep at this level."""
    numbers: tuple[int, ...] = ()
    """Which questions they are, where not all were asked."""

    @property
    def setting(self) -> Setting:
        return Setting(passes=self.passes, way=self.way, wording=self.wording)

    @property
    def name(self) -> str:
        return self.setting.name

    @property
    def cut(self) -> bool:
        """Whether the document was too long for the prompt, and its middle left out."""
        return self.passes is None and any(a.cut for a in self.asked)

    @property
    def sleep_fet(self) -> float:
        return sum(self.fet.values())

    @property
    def estimation_fet(self) -> float:
        """The part of `sleep_fet` that only measures."""
        return sum(self.fet.get(kind, 0.0) for kind in ESTIMATION)

    @property
    def sleep_seconds(self) -> float:
        return sum(self.seconds.values())

    @property
    def question_fet(self) -> float:
        return fmean(a.fet for a in self.asked)

    @property
    def question_seconds(self) -> float:
        return fmean(a.seconds for a in self.asked)

    def total_fet(self, questions: float) -> float:
        """The sleep, which is paid once, and the questions."""
        return self.sleep_fet + questions * self.question_fet

    def total_seconds(self, questions: float) -> float:
        return self.sleep_seconds + questions * self.question_seconds

    def values(self, score: str) -> list[float]:
        """One score (nll, f1 or em) of every question."""
        return [float(getattr(a, score)) for a in self.asked]

    def interval(self, score: str) -> Interval:
        """The mean of a score over the questions that were asked."""
        return QuestionResampler.of(len(self.asked)).mean(self.values(score))

    def difference(self, other: "Row", score: str = "f1", factor: float = 1.0) -> Interval | None:
        """`self - other` over the questions that both were asked; None where there are none."""
        mine, theirs = self._by_number(score), other._by_number(score)
        both = sorted(mine.keys() & theirs.keys())
        if not both:
            return None
        return QuestionResampler.of(len(both)).difference([factor * mine[n] for n in both], [factor * theirs[n] for n in both])

    def _by_number(self, score: str) -> dict[int, float]:
        return dict(zip(self.numbers or range(len(self.asked)), self.values(score), strict=True))
