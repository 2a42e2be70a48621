"""Sleep: chunks -> probes -> passes, granted round by round -> probes -> exits -> guard: keep or roll back.

This file is the sentence; every noun has its own file: `rule` writes a pass, `recall` scores the probes, `allocate` says who goes on,
`guard` decides what stays, `budget` counts. Where the allocator decides by no look, probes only say how the night went: a sample of the
chunks is asked about, and only the guard goes by it. A sleep that was cut off goes on from its last checkpoint, to the same end.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from nrem.consolidation.allocate.allocator import Allocator, Exit, Progress, leave
from nrem.consolidation.allocate.config import ResolvedSleep
from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import Listener, PassDone, SleepStarted
from nrem.consolidation.guard import Guard
from nrem.consolidation.probe.looks import UNASKED, asked, note, note_first
from nrem.consolidation.probe.probes import Probe
from nrem.consolidation.probe.recall import Recall, RecallMeter
from nrem.consolidation.probe.sample import sample
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.finite import check_pass, solvable
from nrem.consolidation.write.rule import PassReport, WriteRule
from nrem.memory.saved.record import SleepRecord
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights


@dataclass(frozen=True, kw_only=True)
class SleepResult:
    """What a sleep did: its record, and each chunk's way through it."""

    record: SleepRecord
    progress: tuple[Progress, ...]


Checkpoint = Callable[[dict[str, Any], dict[str, Tensor]], None]
"""Called after every pass with what is needed to go on: plain values and tensors."""


@dataclass
class Sleeper:
    """Everything that a sleep needs; one is made per memory."""

    split: SplitModel
    fast: FastWeights
    rule: WriteRule
    meter: RecallMeter
    guard: Guard
    ledger: Ledger
    config: ResolvedSleep
    allocator: Allocator
    listener: Listener
    share: float = 1.0
    """What both looks at the probes may cost, of what reading the chunks and one pass cost; 1 asks about all chunks."""

    def questions_of(self, chunk: Chunk) -> list[Probe]:
        """The held-out questions of a chunk; none where it states nothing that can be asked for."""
        return self.meter.material.held_out_probes(chunk)

    def sleep(
        self,
        index: int,
        chunks: Sequence[Chunk],
        replay: Sequence[Chunk],
        *,
        signals: Mapping[int, Mapping[str, float]] | None = None,
        price: float | None = None,
        checkpoint: Checkpoint | None = None,
        resume: tuple[dict[str, Any], dict[str, Tensor]] | None = None,
    ) -> SleepResult:
        """Consolidate `chunks`, reading `replay` along; `resume` is what `checkpoint` was given last, if the sleep was cut off.

        `signals` is what reading left of every chunk, by its index, for allocators that plan; `price` what the last sleep's record left
        for those that price.
        """
        started, spent = time.perf_counter(), self.ledger.total_fet
        allocator = self.allocator if price is None else self.allocator.at_price(price)
        with self.fast.attached(self.split.model), solvable():
            progress = [Progress(**p) for p in resume[0]["progress"]] if resume else self._start(allocator, chunks, signals or {})
            reading = resume[0]["reading"] if resume else [p.chunk for p in progress if p.exit is None]
            self.rule.begin([c for c in chunks if c.index in set(reading)], replay)
            before = self._restore(resume[1]) if resume else self._snapshot()
            if self.share < 1 and not resume:
                self._look_at_sample(progress, chunks)
            self._announce(index, chunks, replay, progress)
            reserve = self._reserve(progress, chunks)
            while active := [p for p in progress if p.exit is None]:
                active = self._affordable(active, reserve, allocator)
                if not active:
                    break
                pass_started = time.perf_counter()
                report = self.rule.write([p.chunk for p in active])
                check_pass(active[0].passes + 1, report.loss, self.fast.tensors(), self.rule.state())
                self._note(active, report)
                if active[0].passes % self.config.look_every == 0:
                    self.rule.publish()  # who listens may look, too
                    if active[0].passes < self.config.passes:  # after the last pass all chunks are looked at together
                        self._look(active, chunks)
                leave(active, self._exits(allocator, active))
                self._tell(index, progress, active, report, time.perf_counter() - pass_started)
                if checkpoint:
                    checkpoint(*self._state(progress, reading, before))
            recall: dict[int, Recall] = {}
            if any(p.passes for p in progress):
                self.rule.complete()  # from here on the fast weights hold all that was written
                recall = self._recall_after(progress, chunks)
            self.rule.end()
            self.meter.forget()
        result = self._judge(index, chunks, replay, progress, recall, before, started, spent)
        result.record.price = allocator.next_price(progress)
        return result

    def _start(self, allocator: Allocator, chunks: Sequence[Chunk], signals: Mapping[int, Mapping[str, float]]) -> list[Progress]:
        """Look where looks decide, plan, and let those go that need no pass."""
        progress = [Progress(chunk=c.index, num_probes=0) for c in chunks]
        if self.share == 1:
            self._first_look(progress, chunks)
        self._plan(allocator, progress, chunks, signals)
        leave(progress, self._exits(allocator, progress))
        return progress

    def _first_look(self, progress: Sequence[Progress], chunks: Sequence[Chunk]) -> None:
        """Recall before the first pass; all leave, and nothing is measured, when even that would break the budget."""
        if self.ledger.affords(2 * self.meter.fet(chunks) + 2 * self.guard.fet(_tokens(chunks))):
            note_first(progress, self.meter.measure(chunks))
        else:
            leave(progress, {p.chunk: "budget" for p in progress})

    def _look_at_sample(self, progress: Sequence[Progress], chunks: Sequence[Chunk]) -> None:
        """The same of some of the chunks that get a pass."""
        waiting = [c for c, p in zip(chunks, progress, strict=True) if p.exit is None]
        if waiting:
            expected = _tokens(waiting) + self.rule.next_pass_fet([c.index for c in waiting])  # a token that is read costs 1 FET or more
            self._first_look(progress, sample(waiting, self.meter, self.share * min(expected, self.ledger.remaining_fet)))

    def _plan(
        self, allocator: Allocator, progress: Sequence[Progress], chunks: Sequence[Chunk], signals: Mapping[int, Mapping[str, float]]
    ) -> None:
        """Tell the allocator what is known, and what the passes and the looks between them may cost."""
        for p, chunk in zip(progress, chunks, strict=True):
            p.signals = {
                "num_tokens": float(chunk.num_tokens),
                "pass_fet": self.rule.price(chunk),  # alone: replay, and what is read along with it, are not for it to decide
                "look_fet": self.meter.fet([chunk]) / self.config.look_every if self.share == 1 else 0.0,
                **signals.get(p.chunk, {}),
            }
        looks = min(2 * self.meter.fet(chunks), self.ledger.remaining_fet * self.share)
        budget = self.ledger.remaining_fet - looks - 2 * self.guard.fet(_tokens(chunks))
        open_ = [p for p in progress if p.exit is None]
        if self.config.mean_passes:
            budget = min(budget, self.config.mean_passes * sum(p.fet_of_a_pass for p in open_))
        allocator.plan(open_, budget)

    def _exits(self, allocator: Allocator, active: Sequence[Progress]) -> dict[int, Exit]:
        """Who gets no further pass; an allocator that decides by no look is shown none, whoever was asked."""
        if allocator.looks == "none":
            active = [replace(p, recall=[], nll=[], looked_at=[]) for p in active]
        return allocator.exits(active)

    def _affordable(self, active: Sequence[Progress], reserve: float, allocator: Allocator) -> list[Progress]:
        """The active chunks that the caps still pay a pass for; those that promise least leave."""
        ranked = sorted(active, key=allocator.worth, reverse=True)

        def too_many(count: int) -> bool:
            return not self.ledger.affords(self._pass_fet(ranked[:count]) + reserve)

        paid = {p.chunk for p in ranked[: bisect_left(range(1, len(ranked) + 1), True, key=too_many)]}
        leave(active, {p.chunk: "budget" for p in active if p.chunk not in paid})
        return [p for p in active if p.chunk in paid]

    def _pass_fet(self, active: Sequence[Progress]) -> float:
        return self.rule.next_pass_fet([p.chunk for p in active]) if self.ledger.limited else 0.0

    def _reserve(self, progress: Sequence[Progress], chunks: Sequence[Chunk]) -> float:
        """What must still fit under the cap behind a pass: a look, the last look at all who are asked, and the guard."""
        if not self.ledger.limited:
            return 0.0
        return self.meter.fet(asked(progress, chunks), looks=2) + 2 * self.guard.fet(_tokens(chunks))

    def _note(self, active: Sequence[Progress], report: PassReport) -> None:
        for p in active:
            p.passes += 1
            p.loss.append(report.loss[p.chunk])

    def _look(self, active: Sequence[Progress], chunks: Sequence[Chunk]) -> None:
        note(active, self.meter.measure(asked(active, chunks)))

    def _recall_after(self, progress: Sequence[Progress], chunks: Sequence[Chunk]) -> dict[int, Recall]:
        """Recall at the end; a chunk that left early is looked at again, since later passes moved the weights."""
        return {p.chunk: UNASKED for p in progress} | self.meter.measure(asked(progress, chunks))

    def _judge(
        self,
        index: int,
        chunks: Sequence[Chunk],
        replay: Sequence[Chunk],
        progress: list[Progress],
        recall: dict[int, Recall],
        before: tuple[dict[str, Tensor], dict[str, Tensor]],
        started: float,
        spent: float,
    ) -> SleepResult:
        """Ask the guard, roll back if it objects, and write the record."""
        was = _mean([p.recall[0] for p in progress if p.num_probes])
        now = _mean([recall[p.chunk].recalled for p in progress if p.num_probes]) if recall else was
        figures, objection = {}, ""
        if recall:
            nll_gain = _mean([p.nll[0] - recall[p.chunk].nll for p in progress if p.num_probes])
            report = self.guard.check(self.fast.attached(self.split.model), now - was, nll_gain, _tokens(chunks))
            figures, objection = report.to_dict(), self.guard.objection(report)
        if objection:
            self.fast.restore(before[0])
            self.rule.restore(before[1])
        for p in progress:
            after = p.recall[0] if objection and p.recall else recall[p.chunk].recalled if recall else (p.recall or [0.0])[-1]
            p.recall.append(after)
            p.nll.append(p.nll[0] if objection and p.nll else recall[p.chunk].nll if recall else (p.nll or [0.0])[-1])
            p.looked_at.append(p.passes)
            if p.exit == "cap" and p.num_probes and p.passes and p.recall[-1] >= self.config.solved_recall:
                p.exit = "solved"
        record = SleepRecord(
            index=index,
            chunks=[p.chunk for p in progress],
            replayed=[c.index for c in replay],
            passes=max((p.passes for p in progress), default=0),
            recall_before=was,
            recall_after=was if objection else now,
            fet=self.ledger.total_fet - spent,
            seconds=time.perf_counter() - started,
            kept=not objection,
            guard=figures,
            reason=objection,
            sample=self.share < 1,
        )
        return SleepResult(record=record, progress=tuple(progress))

    def _snapshot(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self.fast.clone(), {key: value.clone() for key, value in self.rule.state().items()}

    def _state(
        self, progress: Sequence[Progress], reading: Sequence[int], before: tuple[dict[str, Tensor], dict[str, Tensor]]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        tensors = {f"fast/{k}": v for k, v in self.fast.tensors().items()} | {f"rule/{k}": v for k, v in self.rule.state().items()}
        tensors |= {f"before.fast/{k}": v for k, v in before[0].items()} | {f"before.rule/{k}": v for k, v in before[1].items()}
        return {"progress": [asdict(p) for p in progress], "reading": reading}, tensors

    def _restore(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Put weights and rule back to a checkpoint; returns what they were before the sleep."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

        self.fast.restore(part("fast/"))
        self.rule.restore(part("rule/"))
        return part("before.fast/"), part("before.rule/")

    def _announce(self, index: int, chunks: Sequence[Chunk], replay: Sequence[Chunk], progress: Sequence[Progress]) -> None:
        self.listener(
            SleepStarted(
                index=index,
                chunks=tuple(c.index for c in chunks),
                replayed=tuple(c.index for c in replay),
                max_passes=self.config.passes,
                recall=_last_recall(progress),
            )
        )

    def _tell(self, index: int, progress: Sequence[Progress], active: Sequence[Progress], report: PassReport, seconds: float) -> None:
        self.listener(
            PassDone(
                sleep=index,
                passes=active[0].passes,
                active=len(active),
                loss=_mean(list(report.loss.values())),
                recall=_last_recall(progress),
                tokens=report.tokens,
                tokens_per_second=report.tokens / max(seconds, 1e-9),
                fet=self.ledger.total_fet,
            )
        )


def _tokens(chunks: Sequence[Chunk]) -> int:
    return sum(c.num_tokens for c in chunks)


def _last_recall(progress: Sequence[Progress]) -> float:
    return _mean([p.recall[-1] for p in progress if p.num_probes and p.recall])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
