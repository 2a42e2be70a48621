"""Points to compare: what a setting of a tuning run scores and costs, in FLOPs, so that models of different sizes share an axis.

    runs of `nrem tune` -> points (passes, rounds, thought, votes) -> fit, frontiers, break-even numbers

Knows nothing about models beyond what a run says of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nrem.consolidation.prompts import OWN_WORDING
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.measure import BANK
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.setting import Setting
from nrem.runtime.wake.ways import parse_way


@dataclass(frozen=True, kw_only=True)
class Point:
    """One setting of one model; FLOPs are in billions."""

    model: str
    passes: int | None
    """None for the document in the prompt."""
    way: str
    sleep_gflop: float
    """Paid once a document."""
    question_gflop: float
    right: tuple[float, ...]
    """1 or 0, by question."""
    nll: tuple[float, ...]
    """Of the right answer, nats per token."""

    @property
    def name(self) -> str:
        return f"{self.model}: {Setting(passes=self.passes, way=self.way).name}"

    @property
    def points(self) -> float:
        """Right answers in hundredths."""
        return 100 * sum(self.right) / len(self.right)

    def gflop(self, questions: float) -> float:
        """Of the sleep and so many questions."""
        return self.sleep_gflop + questions * self.question_gflop

    def amount(self, way: str) -> int:
        """How much of one axis it spends: rounds of search, tokens of thought, votes behind the first; ways that search in passing take one
        round."""
        if self.passes is None:
            return 0
        own = parse_way(self.way)
        if own.name == way:
            return own.amount - 1 if way == "vote" else own.amount
        if way != "search":
            return 0
        return own.amount if own.name in ("read", "ensemble") else int(own.name in ("think", "vote"))


@dataclass(frozen=True)
class Run:
    """A finished tuning run of one model."""

    model: str
    gflop_per_fet: float
    questions: str
    """Hash of what was asked, about which documents."""
    points: tuple[Point, ...]

    def called(self, model: str) -> "Run":
        """The same under another name."""
        return replace(self, model=model, points=tuple(replace(point, model=model) for point in self.points))

    @property
    def floor(self) -> Point:
        """Nothing read, nothing in the prompt."""
        return next(p for p in self.points if p.passes == 0 and p.way == "direct")


def read_run(folder: Path) -> Run:
    """A folder that `nrem tune -o` has made. Raises `MemoryFolderError` where it is none, or from before runs said how large their model
    is."""
    path = folder / BANK
    if not path.is_file():
        raise MemoryFolderError(f"{folder}: no tuning run ({BANK} is missing); make one with nrem tune DOC --questions FILE -o {folder}")
    bank = Bank(path)
    try:
        asked = f"{bank.about['questions']['sha256']} {[d['sha256'] for d in bank.about['documents']]}"
        count, about = int(bank.about["questions"]["count"]), bank.about.get("base model", {})
        each, name = float(about.get("gflop_per_fet", 0.0)), str(about.get("name", "")).rsplit("/", 1)[-1]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise MemoryFolderError(f"{path}: not the outcomes of a tuning run ({error!r}); measure it anew with nrem tune --force") from None
    if not 0 < each < math.inf:
        raise MemoryFolderError(f"{folder}: the run does not say how large its model is; measure it anew with nrem tune --force")
    rows = [row for row in bank.rows() if row.wording == OWN_WORDING and len(row.asked) == count]
    points = tuple(_point(row, name, each) for row in rows)
    if not any(p.passes == 0 and p.way == "direct" for p in points):
        raise MemoryFolderError(f"{folder}: the run was cut off before it had asked anything; finish it with nrem tune --resume")
    return Run(points[0].model, each, asked, points)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Runs of several models on the same questions, the smallest first; of one model, each by its folder. Raises `UsageError` where they
    asked different ones."""
    runs = [read_run(folder) for folder in folders]
    named = [run.model for run in runs]
    runs = [run.called(f"{run.model}, {folder}") if named.count(run.model) > 1 else run for run, folder in zip(runs, folders, strict=True)]
    for folder, run in zip(folders, runs, strict=True):
        if run.questions != runs[0].questions:
            raise UsageError(f"{folder}: its questions or documents are not those of {folders[0]}; compare runs that asked the same")
    return sorted(runs, key=lambda run: run.gflop_per_fet)


def _point(row: Row, model: str, each: float) -> Point:
    return Point(
        model=model,
        passes=row.passes,
        way=row.way,
        sleep_gflop=row.sleep_fet * each,
        question_gflop=row.question_fet * each,
        right=tuple(asked.right for asked in row.asked),
        nll=tuple(asked.nll for asked in row.asked),
    )
