"""The cached table of `allocation.run`: every chunk in a memory of its own, asked after every pass by what decides and what scores.

A chunk's passes depend on no other chunk and its questions are asked of what it alone has left, so utilities are separable. Passes and
looks are charged as whole reads: what lies below the fast weights is not kept between them. Nothing here chooses.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from benchmarks.allocation.data import MixedChunk, MixedDocument
from benchmarks.allocation.replay import LOOK
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.probe.material import StudyMaterial
from nrem.consolidation.probe.probes import Probe
from nrem.consolidation.probe.recall import RecallMeter
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.memory.errors import MemoryFolderError
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper

GAP_PROBES = 2
"""Probes that the context gap is measured on."""


@dataclass(frozen=True)
class Tables:
    """The same chunks twice, row by row: by the probes that decide, and by the questions that score."""

    deciding: CurveTable
    scoring: CurveTable

    def to_json(self) -> str:
        return json.dumps({"deciding": json.loads(self.deciding.to_json()), "scoring": json.loads(self.scoring.to_json())})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises `MemoryFolderError` for what is not such a file."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            parts = [CurveTable.from_json(json.dumps(values[name]), str(path)) for name in ("deciding", "scoring")]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MemoryFolderError(
                f"{path}: not a table of benchmarks.allocation.run ({error}); measure it again without --table"
            ) from None
        return cls(*parts)


class ScoringMaterial(StudyMaterial):
    """Asks the given questions where a sleep asks its probes."""

    def __init__(self, protocol: Protocol, config: Config, questions: dict[int, tuple[QuestionAnswer, ...]]) -> None:
        super().__init__(protocol, config.probes, config.seed)
        self.questions = questions

    def held_out_probes(self, chunk: Chunk) -> list[Probe]:
        return [Probe(chunk=chunk.index, question=q.question, answer=q.answer) for q in self.questions[chunk.index]]


def measure_tables(
    base: Base,
    config: Config,
    protocol: Protocol,
    documents: Sequence[tuple[MixedDocument, list[MixedChunk]]],
    passes: int,
) -> Tables:
    """Every chunk of every document at 0 to `passes` passes."""
    rows = []
    for _, units in documents:
        rows += _measure(base, config, protocol, units, passes)
    levels = tuple(range(passes + 1))
    return Tables(*(CurveTable(levels=levels, curves=tuple(row[which] for row in rows)) for which in (0, 1)))


@torch.no_grad()
def _measure(base: Base, config: Config, protocol: Protocol, units: Sequence[MixedChunk], passes: int) -> list[tuple[Curve, Curve]]:
    fast, ledger = make_fast_weights(base, config, protocol), Ledger()
    sleeper = make_sleeper(base, config, protocol, fast, ledger, ignore)
    chunks, rule = [unit.chunk for unit in units], sleeper.rule
    scoring = ScoringMaterial(protocol, config, {unit.chunk.index: unit.scoring for unit in units})
    cost = CostModel.of(base.model)
    meters = [RecallMeter(sleeper.split, m, ledger, cost, fast.num_parameters, alone=rule.alone) for m in (sleeper.meter.material, scoring)]
    signals, pass_fet = [], []
    for chunk in chunks:
        rule.begin([chunk], [])
        pass_fet.append(rule.next_pass_fet([chunk.index]))
        signals.append(_signals(base, sleeper, protocol, chunk, meters[0].fet([chunk])))
    rule.begin(chunks, [])
    looks: list[list[dict[int, tuple[int, float, float]]]] = [[], []]
    with fast.attached(base.model):
        for level in range(passes + 1):
            if level:
                rule.write([chunk.index for chunk in chunks])
            for meter, seen in zip(meters, looks, strict=True):
                found = meter.measure(chunks)
                seen.append({index: (r.probes, r.nll, r.recalled) for index, r in found.items()})
    rule.end()
    out = []
    for unit, known, fet in zip(units, signals, pass_fet, strict=True):
        pair = [_curve(unit, [level[unit.chunk.index] for level in seen], fet) for seen in looks]
        known |= {"nll_before": pair[0].nll[0], "recall_before": pair[0].recall[0]}
        out.append((replace(pair[0], signals=known), replace(pair[1], signals=known)))
    return out


def _curve(unit: MixedChunk, looks: Sequence[tuple[int, float, float]], pass_fet: float) -> Curve:
    return Curve(
        document=unit.document,
        chunk=unit.chunk.index,
        nll=tuple(nll for _, nll, _ in looks),
        recall=tuple(recalled for _, _, recalled in looks),
        pass_fet=pass_fet,
        num_probes=looks[0][0],
        label=unit.kind,
    )


def _signals(base: Base, sleeper: Sleeper, protocol: Protocol, chunk: Chunk, look_fet: float) -> dict[str, float]:
    """What is known before the first pass; the context gap costs reads of its own that no allocator here pays for, so none may use it."""
    assert protocol.learned is not None
    ids = torch.tensor([protocol.plain_ids(chunk.text, start=True)], device=base.model.device)
    log_p = torch.log_softmax(base.model(input_ids=ids, use_cache=False).logits[0, :-1].float(), -1)
    surprisals = (-log_p.gather(1, ids[0, 1:, None])[:, 0]).tolist()
    found = {
        "num_tokens": float(chunk.num_tokens),
        "surprisal": statistics.fmean(surprisals),
        "surprisal_median": statistics.median(surprisals),
        LOOK: look_fet,
    }
    probes = sleeper.meter.material.held_out_probes(chunk)[:GAP_PROBES]
    bench = Bench(sleeper.split, protocol, protocol.learned)
    questions = [QuestionAnswer(p.question, p.answer) for p in probes]
    passages = [Passage(chunk.title, chunk.text, ())] * len(questions)
    gap = bench.answer_nll(questions, None).mean() - bench.answer_nll(questions, None, passages).mean() if questions else torch.zeros(())
    return found | {"context_gap": float(gap)}
