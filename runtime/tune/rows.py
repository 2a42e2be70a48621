"""The rows of a tuning run: what every question got under one way of answering, and what that way costs; and the file that keeps them.

A way is a number of passes, 0 included, or the document in the prompt. Knows nothing about models.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text
from nrem.runtime.measure.evaluate import Outcome
from nrem.runtime.show.night import plural

ESTIMATION = ("probes", "guard")
"""Kinds of work that decide, and write nothing."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question under one way of answering."""

    id: str
    answer: str
    nll: float
    """Of the first accepted answer, nats per token."""
    f1: float
    em: float
    fet: float
    seconds: float

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        o, a = outcome, outcome.answer
        return cls(id=o.question.id, answer=a.answer, nll=o.nll, f1=o.score.f1, em=o.score.em, fet=a.fet, seconds=a.seconds)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of answering all questions."""

    passes: int | None
    """Passes that every chunk had; None for the document in the prompt."""
    asked: tuple[Asked, ...]
    fet: dict[str, float] = field(default_factory=dict)
    """What the sleep to this level costs from the first token on, by kind of work."""
    seconds: dict[str, float] = field(default_factory=dict)
    rolled_back: int = 0
    """Sleeps that the guard did not keep at this level."""
    cut: bool = False
    """Whether the document was too long for the prompt, and its middle left out."""

    @property
    def name(self) -> str:
        return "document in the prompt" if self.passes is None else plural(self.passes, "pass", "passes")

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
        return [getattr(a, score) for a in self.asked]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{**values, "asked": tuple(Asked(**a) for a in values["asked"])})


class RowFile:
    """`rows.jsonl`: what was measured in the first line, then a row a line; whole after every row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.about: dict[str, Any] = {}
        if path.exists():
            try:
                first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                self.about, self.rows = dict(first), [Row.from_dict(line) for line in lines]
            except (ValueError, KeyError, TypeError) as error:
                raise MemoryFolderError(f"{path}: not the rows of a tuning run ({error}); start again with --force") from None

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what is measured; raises `UsageError` where the rows that are there are of something else."""
        about = json.loads(json_text(about))  # as it comes out of the file
        for key, value in about.items():
            if key in self.about and self.about[key] != value:
                raise UsageError(
                    f"{self.path.parent}: the run there has other {key}; give the same ones to go on, or start again with --force"
                )
        self.about |= about
        self._write()

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._write()

    def has(self, passes: int | None) -> bool:
        """Whether a way of answering was measured."""
        return any(row.passes == passes for row in self.rows)

    def _write(self) -> None:
        lines: Sequence[Mapping[str, Any]] = [self.about, *(row.to_dict() for row in self.rows)]
        write_text(self.path, "".join(json_text(line, ensure_ascii=False) + "\n" for line in lines))
