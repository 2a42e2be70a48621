"""Levels: documents slept on once, to the deepest level, and the memory as it was at every level on the way (level 4 continues level 2).

Whenever a wanted level is reached, what the open sleep has written is put on disk with what was spent so far. When the last sleep is over,
each level's memory is put together of that, and judged by the guard as if its sleep had ended there. Where a night was cut off within a
sleep, what had to be prepared again is part of the price. Knows nothing about questions.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from nrem.consolidation.allocate.config import ResolvedSleep
from nrem.consolidation.events import Event, Listener, PassDone, SleepEnded, SleepStarted
from nrem.memory.errors import SleepError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import MEMORY
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.record import MemoryRecord, SleepRecord
from nrem.memory.saved.replace import replace_folder
from nrem.memory.weights.segment import Segment
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session

END: Literal["end"] = "end"
Unit = Literal["fet", "seconds"]


def sleep_at_levels(
    base: Base, config: Config, documents: Sequence[Document], levels: Sequence[int], *, work: Path, out: Path, listener: Listener
) -> None:
    """Put a memory for every level above 0 into `out`, as `level_folder` says; what is there already is not made again.

    `work` holds what a killed run goes on from. Levels that cannot be told from the deepest run, since one adapter took several sleeps
    of a rule without statistics, get runs of their own.
    """
    trained = make_protocol(base, config).trained_passes
    every = _look_every(config.sleep.resolved(trained), levels)
    looks = {level: _later_looks(level, replace(config.sleep, passes=level).resolved(trained)) for level in levels}
    while rest := [level for level in levels if not (level_folder(out, level) / MEMORY).exists()]:
        sleep = replace(config.sleep.even(max(rest)), look_every=every, budget_fet=0.0, budget_seconds=0.0)
        night = Night(base, replace(config, sleep=sleep), documents, rest, Journal.open(work / f"{max(rest):04d}"), listener, looks)
        for level in night.told_apart:  # the deepest last: as long as it is missing, a killed run finds its night again
            night.memory_at(level).save(level_folder(out, level), force=True)
        shutil.rmtree(work)


def level_folder(out: Path, level: int) -> Path:
    """Where the memory of a level lies."""
    return out / f"{level:04d}"


def _look_every(sleep: ResolvedSleep, levels: Sequence[int]) -> int:
    """Looks fall on every level: the guard judges by them. Where they do already, as often as configured; the last look is always taken."""
    return math.gcd(*levels) if any(level % sleep.look_every for level in levels[:-1]) else sleep.look_every


def _later_looks(level: int, sleep: ResolvedSleep) -> int:
    """Looks after the first one, of a run to this level."""
    return math.ceil(level / sleep.look_every)


class Night:
    """One run to the deepest of some levels; everything is read and slept on when it is made."""

    def __init__(
        self,
        base: Base,
        config: Config,
        documents: Sequence[Document],
        levels: Sequence[int],
        journal: Journal,
        listener: Listener,
        looks: Mapping[int, int] | None = None,
    ) -> None:
        """`looks` is how many looks after the first one the price of a level has; None for those that this run takes until there."""
        self.base, self.config, self.levels, self.journal, self.listener = base, config, sorted(levels), journal, listener
        self._chunks: tuple[int, ...] = ()
        self.session = Session(base=base, config=config, listener=self._hear, journal=journal)
        self._sleep = self.session.writer.sleeper.config
        self.looks = looks or {level: _later_looks(level, self._sleep) for level in levels}
        sleeps = self.session.memory.record.sleeps
        if sleeps and (sleeps[-1].index, END) not in self._spent():  # killed between the end of a sleep and its line
            self._note(sleeps[-1].index, END)
        self.memory = self.session.read(*documents)
        self._at = self._spent()

    @property
    def told_apart(self) -> list[int]:
        """Levels whose memory is what a run of their own would give: all, or else the deepest only."""
        segments = [self._segment_of(sleep) for sleep in self.memory.record.sleeps]
        alone = len(set(segments)) == len(segments)
        return self.levels if alone or self.session.writer.sleeper.rule.written is not None else self.levels[-1:]

    def memory_at(self, level: int) -> Memory:
        """The memory of a run to this level: weights, what the guard said, what it cost."""
        if level == self.levels[-1]:
            self.memory.record.fet, self.memory.record.seconds = self._cost_at(level, "fet"), self._cost_at(level, "seconds")
            return self.memory
        record = deepcopy(self.memory.record)
        segments = [self._nothing_written() for _ in self.memory.segments]
        for sleep in record.sleeps:
            before, at = segments[self._segment_of(sleep)], _looks_until(record, sleep, level)
            after = _joined(before, self._written_at(level, sleep))
            sleep.passes, sleep.recall_after, nll_gain = level, sleep.recall_before + at["recall"], at["nll"]
            sleep.guard, sleep.reason = self._judge(after, at["recall"], nll_gain, sum(record.chunks[i].num_tokens for i in sleep.chunks))
            sleep.kept = not sleep.reason
            if sleep.kept:
                segments[self._segment_of(sleep)] = after
            else:
                sleep.recall_after = sleep.recall_before
                for c in (record.chunks[i] for i in sleep.chunks if record.chunks[i].num_probes):
                    c.recall_after, c.nll_after = c.recall_before, c.nll_before
        record.fet, record.seconds = self._cost_at(level, "fet"), self._cost_at(level, "seconds")
        record.config["sleep"] = asdict(replace(self.config.sleep, passes=level))
        record.canary = {}
        return Memory(record=record, segments=segments, text=self.memory.text)

    def _hear(self, event: Event) -> None:
        if isinstance(event, SleepStarted):
            self._chunks = event.chunks
        elif isinstance(event, PassDone) and event.passes in self.levels[:-1]:
            self._keep(event.sleep, event.passes)
            self._note(event.sleep, event.passes)
        elif isinstance(event, PassDone) and event.passes == self.levels[-1]:
            self._note(event.sleep, event.passes)
        elif isinstance(event, SleepEnded):
            self._note(event.record.index, END)
        self.listener(event)

    def _keep(self, sleep: int, level: int) -> None:
        """Put what the sleep has written so far on disk, whole; of the statistics only those of its own chunks."""
        sleeper, target = self.session.writer.sleeper, self._folder(level, sleep)
        written = sleeper.rule.written
        segment = Segment(sleeper.fast, written.renumbered({i: i for i in self._chunks}) if written else None)
        made = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        segment.save(made, self.base.identity.name, self.base.identity.revision)
        replace_folder(made, target)

    def _folder(self, level: int, sleep: int) -> Path:
        return level_folder(self.journal.folder / "levels", level) / f"sleep-{sleep:04d}"

    def _note(self, sleep: int, at: int | Literal["end"]) -> None:
        self.journal.append({"sleep": sleep, "at": at, "spent": self.session.ledger.state()})

    def _spent(self) -> dict[tuple[int, int | str], Mapping[str, Mapping[str, float]]]:
        """What the ledger said at each level of each sleep, and at its end; of a pass that was repeated after a kill the later counts."""
        return {(line["sleep"], line["at"]): line["spent"] for line in self.journal.events()}

    def _cost_at(self, level: int, unit: Unit) -> dict[str, float]:
        """By kind of work, as a run of its own to this level would cost: reading, every sleep up to the level, and the guard at its end."""
        whole: dict[str, float] = getattr(self.session.ledger, unit)
        cost, deepest = dict.fromkeys(whole, 0.0), self.levels[-1]
        for sleep in self.memory.record.sleeps:
            for kind in cost.keys() - {"probes"}:
                at_end = self._until(sleep, END, kind, unit) - self._until(sleep, deepest, kind, unit)
                cost[kind] += self._until(sleep, level, kind, unit) + at_end
            if "probes" in cost:
                cost["probes"] += self._looks_cost(sleep, level, unit)
        return cost | {"reading": whole.get("reading", 0.0)}

    def _looks_cost(self, sleep: SleepRecord, level: int, unit: Unit) -> float:
        """The first look and `self.looks[level]` later ones, which cost the same, although this run may have taken more."""
        in_all, least, deepest = self._until(sleep, END, "probes", unit), self.levels[0], self.levels[-1]
        if least == deepest:
            return in_all
        taken = {n: _later_looks(n, self._sleep) for n in (least, deepest)}
        one = (in_all - self._until(sleep, least, "probes", unit)) / (taken[deepest] - taken[least])
        return in_all - (taken[deepest] - self.looks[level]) * one

    def _until(self, sleep: SleepRecord, at: int | Literal["end"], kind: str, unit: Unit) -> float:
        """What a sleep had spent at this point."""
        before = self._at[sleep.index - 1, END][unit].get(kind, 0.0) if sleep.index else 0.0
        return self._at[sleep.index, at][unit].get(kind, 0.0) - before

    def _written_at(self, level: int, sleep: SleepRecord) -> Segment:
        folder = self._folder(level, sleep.index)
        if not folder.exists():
            raise SleepError(f"{folder}: sleep {sleep.index + 1} ended before {level} passes; tune again with fewer")
        return Segment.load(folder)

    def _judge(self, segment: Segment, recall_gain: float, nll_gain: float, slept: int) -> tuple[dict[str, float], str]:
        """What the guard says of a segment; not charged, since the end of the deepest sleep has paid for one such look already."""
        guard, ledger = self.session.writer.sleeper.guard, self.session.ledger
        model, state = self.base.model, ledger.state()
        report = guard.check(segment.weights.to(model.device).attached(model), recall_gain, nll_gain, slept)
        ledger.restore(state)
        return report.to_dict(), guard.objection(report)

    def _nothing_written(self) -> Segment:
        return Segment(make_fast_weights(self.base, self.config, self.session.protocol).to("cpu"))

    def _segment_of(self, sleep: SleepRecord) -> int:
        return self.memory.record.chunks[sleep.chunks[0]].segment


def _joined(before: Segment, after: Segment) -> Segment:
    """What a segment holds when a sleep has added its chunks; solved anew, since earlier sleeps had gone deeper when these were kept."""
    if after.written is None:
        return after
    written = before.written.joined(after.written) if before.written else after.written
    fast = after.weights.copy()
    written.write_into(fast)
    return Segment(fast, written)


def _looks_until(record: MemoryRecord, sleep: SleepRecord, level: int) -> dict[str, float]:
    """Cut the looks at a sleep's chunks to a level; returns what its probes gained until then, in recall and in answer NLL."""
    gains: dict[str, list[float]] = {"recall": [], "nll": []}
    for c in (record.chunks[i] for i in sleep.chunks):
        last = c.looked_at.index(level)
        c.looked_at, c.recall, c.nll = c.looked_at[: last + 1], c.recall[: last + 1], c.nll[: last + 1]
        c.passes, c.recall_after, c.nll_after = level, c.recall[-1], c.nll[-1]
        if c.num_probes:
            gains["recall"].append(c.recall_after - c.recall_before)
            gains["nll"].append(c.nll_before - c.nll_after)
    return {name: sum(values) / len(values) if values else 0.0 for name, values in gains.items()}
