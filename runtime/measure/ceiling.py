"""`nrem ceiling`: measure how deep passes pay on this model with this protocol, and keep the finding where later sleeps obey it.

    documents -> a sleep at the deepest level, probes asked at every level -> curves -> ceiling -> kept by base model and protocol
                                                                           -> answers -> confidence

Beside its own probes every chunk's fast weights are asked another document's: what those gain is the manner of answering only. Its own are
also answered, which calibrates confidence. Knows nothing about terminals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import islice
from pathlib import Path

from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.budget import CostModel
from nrem.consolidation.events import Event, Listener, PassDone, SleepStarted
from nrem.consolidation.probe.recall import RecallMeter
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import CEILING, CONFIDENCE, CURVES
from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.runtime.config import Config
from nrem.runtime.measure.calibrate import ProbeAsker, confidence_of_questions
from nrem.runtime.measure.questions import QuestionedDocument
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import read_document
from nrem.runtime.session.session import Session

CALIBRATION_KINDS = ("known", "repeated", "other_languages", "codes")
CONTROLS = 4
"""Chunks of another document whose probes are asked as well."""


@dataclass(frozen=True)
class Measured:
    """A ceiling, the curves that it follows from, and what an answer's probability is worth."""

    ceiling: Ceiling
    table: CurveTable
    confidence: Confidence | None
    protocol: Protocol

    def save(self, folder: Path) -> Path:
        """Write the files into a folder, which is made; a calibration of confidence that is there and could not be renewed goes."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / CURVES, self.table.to_json() + "\n")
        write_text(folder / CEILING, self.ceiling.to_json() + "\n")
        if self.confidence is None:
            (folder / CONFIDENCE).unlink(missing_ok=True)
        else:
            write_text(folder / CONFIDENCE, self.confidence.to_json() + "\n")
        return folder


def calibration_documents() -> list[Document]:
    """The documents that come with nrem: two that no model can know, then text that is known, repeated, foreign and random."""
    root = Path(str(resources.files("nrem.configs")))
    names = ("demo_document.md", "other_document.md", *(f"calibration/{kind}.md" for kind in CALIBRATION_KINDS))
    return [read_document(root / name) for name in names]


def check_levels(levels: Sequence[int]) -> None:
    """Raise `UsageError` for levels that do not rise from 0."""
    if list(levels) != sorted(set(levels)) or levels[0] != 0 or len(levels) < 2:
        raise UsageError(f"--passes: got {','.join(map(str, levels))}, expected rising numbers from 0, such as 0,1,2,4,8")


def measure_ceiling(
    base: Base,
    config: Config,
    documents: Sequence[Document],
    levels: Sequence[int],
    listener: Listener,
    questioned: Sequence[QuestionedDocument] = (),
) -> Measured:
    """Sleep on every document at the deepest level and look at every level. Raises `UsageError` for levels that do not begin with 0.

    Where there are documents with questions, confidence is calibrated on those, each asked after a sleep of the depth that was found.
    """
    check_levels(levels)
    deep = replace(config.sleep.even(levels[-1]), look_every=1, budget_fet=0.0, budget_seconds=0.0)
    config = replace(config, sleep=deep, guard=replace(config.guard, enabled=False), probes=replace(config.probes, share=1.0))
    protocol, curves = make_protocol(base, config), []
    asker = ProbeAsker(levels, protocol.trained_passes)
    for number, document in enumerate(documents):
        other = documents[number - 1] if len(documents) > 1 else _another(document)
        control = _Control(_first_chunks(base, config, other), levels, asker, listener)
        control.session = session = Session(base=base, config=config, listener=control)
        session.stream(document)
        table = CurveTable.of_chunks(session.memory.record.chunks, levels)
        curves += [replace(c, control=tuple(control.nll[c.chunk])) for c in table.curves]
    if not curves:
        raise UsageError("ceiling: the documents state nothing that can be asked for; give others, with names, dates and numbers")
    table = CurveTable(levels=tuple(levels), curves=tuple(curves))
    ceiling = Ceiling.of(table, config.seed)
    if questioned:
        confidence = confidence_of_questions(base, config, questioned, asker.level(ceiling.n_star), listener)
    else:
        confidence = asker.confidence(ceiling.n_star)
    return Measured(ceiling, table, confidence, protocol)


class _Control:
    """Listens to a session, and asks another document's probes of every chunk's fast weights at every level; has its own answered."""

    session: Session

    def __init__(self, chunks: Sequence[Chunk], levels: Sequence[int], asker: ProbeAsker, listener: Listener) -> None:
        self.chunks, self.levels, self.asker, self.listener = chunks, levels, asker, listener
        self.nll: dict[int, list[float]] = {}
        self._meter: RecallMeter | None = None

    def __call__(self, event: Event) -> None:
        self.listener(event)
        if isinstance(event, SleepStarted):
            sleeper = self.session.writer.sleeper
            cost = CostModel.of(self.session.base.model)
            self._meter = RecallMeter(sleeper.split, sleeper.meter.material, self.session.ledger, cost, sleeper.fast.num_parameters)
            self._sleeping = event.chunks
            self._look()
        elif isinstance(event, PassDone) and event.passes in self.levels:
            self._look()
            for index in self._sleeping:
                self.asker.ask(self.session, index, event.passes)

    def _look(self) -> None:
        assert self._meter is not None, "a sleep begins before its passes"
        for number, index in enumerate(self._sleeping):
            control = self.chunks[number % len(self.chunks)]
            with self.session.writer.sleeper.rule.alone(index):
                found = self._meter.measure([control])[control.index]
            self.nll.setdefault(index, []).append(found.nll)


def _first_chunks(base: Base, config: Config, document: Document) -> list[Chunk]:
    """Chunks of another document, under indices that no chunk of the measured one has."""
    chunks = cut_chunks(
        document.pieces(),
        count_tokens=base.count_tokens,
        max_tokens=config.stream.chunk_tokens,
        document=document.name,
        title=document.title,
    )
    return [replace(chunk, index=-1 - chunk.index) for chunk in islice(chunks, CONTROLS)]


def _another(document: Document) -> Document:
    return next(d for d in calibration_documents() if d.name != document.name)
