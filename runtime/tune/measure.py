"""The measuring of a tuning run: a bank in a folder, filled for a plan. The model is loaded, and slept with, when an outcome is missing.

Knows nothing about recommendations.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nrem.consolidation.budget import CostModel
from nrem.consolidation.events import Listener
from nrem.memory.memory import Memory
from nrem.memory.saved.files import MEMORY
from nrem.runtime.config import Config, to_dict
from nrem.runtime.measure.questions import Question, sha256_of
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.show.night import plural
from nrem.runtime.tune.ask import SettingAsker
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.halving import Worth, halve
from nrem.runtime.tune.nights import level_folder, sleep_at_levels
from nrem.runtime.tune.plan import Plan
from nrem.runtime.tune.rows import Asked, Row, Slept
from nrem.runtime.tune.setting import Setting
from nrem.runtime.without_effect import without_effect

BANK = "bank.jsonl"
LEVELS, UNFINISHED = "levels", "unfinished"
USUAL_QUESTIONS = 20
"""Questions that a sleep is taken to serve while halving: what is measured must not depend on who asks."""
POINTS_WORTH = (0.0, 0.01, 0.05)
"""Prices that halving looks for the best setting at: what a point costs, as a share of the task with the document in the prompt."""


@dataclass(frozen=True)
class Text:
    """A document and all of its text: it goes into a prompt in any case."""

    document: Document
    text: str


class Measurement:
    """Fills the bank of a folder with what a plan needs."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        texts: Sequence[Text],
        questions: Sequence[Question],
        plan: Plan,
        *,
        base: Base | None,
        listener: Listener,
        tell: Callable[[str], None],
        count: Callable[[int, int], None],
    ) -> None:
        """`count` hears how many answers there are, and about how many there will be."""
        self.folder, self.config, self.texts, self.questions, self.plan = folder, config, texts, questions, plan
        self.listener, self.tell, self.count, self._given = listener, tell, count, base
        folder.mkdir(parents=True, exist_ok=True)
        self.bank = Bank(folder / BANK, self._measure)
        digests = [hashlib.sha256(t.text.encode()).hexdigest() for t in texts]
        self.bank.begin(
            {
                "documents": [{"name": t.document.name, "sha256": d} for t, d in zip(texts, digests, strict=True)],
                "questions": {"count": len(questions), "sha256": sha256_of(questions)},
                "passes": list(plan.levels),
                "configuration": to_dict(config),
            }
        )
        self._answers, self._planned = 0, 0

    def measure(self) -> list[Row]:
        """The rows of the plan, whole ones and others, 0 passes first."""
        everything = range(len(self.questions))
        whole = self.plan.settings if self.plan.share == 1 else self.plan.always
        first = sorted(whole, key=lambda s: bool(s.passes))  # what needs no sleep
        self._planned = len(everything) * len(whole)
        if self.plan.share < 1:
            self._planned += round(self.plan.share * len(everything) * len(self.plan.settings))
        for setting in first:
            if missing := self.bank.missing(setting, everything):
                self._open(setting.passes or 0)
                self.tell(f"asking {plural(len(missing), 'question')}: {setting.name}")
            self._answers += len(everything) - len(missing)
            self.bank.fill(setting, everything)
        if self.plan.share < 1:
            self._halve()
        for name in (LEVELS, UNFINISHED):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return [row for setting in self.plan.settings if (row := self.bank.row(setting)) is not None]

    def _halve(self) -> None:
        """Spend the plan's share on finding the best settings, and ask those everything."""
        everything = range(len(self.questions))
        tried = [setting for setting in self.plan.settings if setting.passes is not None]
        order = sorted(everything, key=lambda n: hashlib.sha256(f"{self.questions[n].question} {n}".encode()).digest())
        dear = self._row(Setting(passes=None)).total_fet(USUAL_QUESTIONS)
        known = {s: self.bank.row(s) for s in self.plan.always}
        price = sum(row.question_fet for row in known.values() if row and row.passes is not None)
        mean = price / max(1, sum(row is not None and row.passes is not None for row in known.values()))
        budget = self.plan.share * mean * len(tried) * len(everything)
        view = self.bank.view(self.plan.always)
        found = halve([[s] for s in tried], view, order, budget, [self._worth(share * dear) for share in POINTS_WORTH], self.tell)
        for setting in sorted({*found.best, *found.finalists}, key=lambda s: s.passes or 0):
            self.bank.fill(setting, everything)

    def _worth(self, point_fet: float) -> Worth[Setting]:
        """Points of F1, less what the task costs at this price of a point; 0 for no price."""

        def worth(setting: Setting, score: float, fet: float) -> float:
            if not point_fet:
                return score
            slept = sum(self.bank.slept[setting.passes].fet.values()) if setting.passes else 0.0
            return score - (slept + USUAL_QUESTIONS * fet) / point_fet

        return worth

    def _row(self, setting: Setting) -> Row:
        row = self.bank.row(setting)
        assert row is not None, "it is always measured"
        return row

    # -- the model ------------------------------------------------------------------------------------------------------------

    @cached_property
    def base(self) -> Base:
        base = self._given
        if base is None:
            self.tell(f"loading {self.config.model.name}")
            base = load_base(self.config)
        about = {"name": base.identity.name, "weights_sha256": base.identity.weights_sha256}
        self.bank.begin({"base model": about | {"gflop_per_fet": CostModel.of(base.model).flops_per_fet / 1e9}})
        protocol = make_protocol(base, self.config)
        self.bank.begin({"protocol": {"id": protocol.id, "sha256": protocol.sha256}})
        for note in without_effect(replace(self.config, sleep=self.config.sleep.even(max(self.plan.levels))), protocol):
            self.tell(note)
        return base

    @cached_property
    def asker(self) -> SettingAsker:
        texts = [(t.document.name, t.document.title, t.text) for t in self.texts]
        return SettingAsker(self.base, self.config, texts, self.questions, self._open_level)

    def _measure(self, setting: Setting, numbers: Sequence[int]) -> Iterator[tuple[int, Asked]]:
        for number, asked in self.asker.measure(setting, numbers):
            yield number, asked
            self._answers += 1
            self.count(self._answers, max(self._planned, self._answers))

    def _open(self, level: int) -> None:
        """Load the model, and sleep, where that has not been done: before it is said what is being asked."""
        if level and not (level_folder(self.folder / LEVELS, level) / MEMORY).exists():
            places = {"work": self.folder / UNFINISHED, "out": self.folder / LEVELS}
            every = [level for level in self.plan.levels if level]
            sleep_at_levels(self.base, self.config, [t.document for t in self.texts], every, **places, listener=self.listener)
        else:
            _ = self.base

    def _open_level(self, level: int) -> Memory:
        self._open(level)
        memory = Memory.load(level_folder(self.folder / LEVELS, level))
        if level not in self.bank.slept:
            rolled_back = sum(not sleep.kept for sleep in memory.record.sleeps)
            self.bank.note_sleep(level, Slept(fet=memory.record.fet, seconds=memory.record.seconds, rolled_back=rolled_back))
        return memory
