"""The arms of a closed-book comparison: what is asked of which memory, and what each one cost. Knows nothing about tables.

floor: nothing written    wrong: another document's memory    raw: next-token steps on the text    memory    context: text in the prompt
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from statistics import fmean

from nrem.memory.memory import Memory
from nrem.runtime.config import Config
from nrem.runtime.measure.evaluate import Outcome, ask, ask_memory, memory_of_other_document
from nrem.runtime.measure.questions import QuestionedDocument
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answerer
from nrem.runtime.wake.wake import Wake

ARMS = ("floor", "wrong", "raw", "memory", "context")


@dataclass(frozen=True)
class AskedDocument:
    """One question of one document under one arm."""

    document: str
    group: str
    outcome: Outcome
    features: Sequence[float] = ()
    """What a router is told of the question, where that was asked for."""

    @property
    def marks(self) -> dict[str, float]:
        o = self.outcome
        return {"nll": o.nll, "f1": o.score.f1, "em": o.score.em, "accuracy": o.score.accuracy}

    def goes_by(self, label: str, names: Mapping[int | str | None, str]) -> str | None:
        """The name of this question's value of a label; None where it has none."""
        return names.get(self.outcome.question.labels.get(label))


@dataclass
class Arm:
    """Everything that was asked under one arm, and what its memories cost, one entry a document."""

    asked: list[AskedDocument] = field(default_factory=list)
    document_fet: list[float] = field(default_factory=list)
    document_pass_fet: list[float] = field(default_factory=list)
    """Of passes alone: without reading, looks and guard."""
    document_seconds: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)
    """Whether the guard kept every sleep of the document."""

    def add(self, document: QuestionedDocument, outcomes: Sequence[Outcome], features: Sequence[Sequence[float]] = ()) -> None:
        told = features or [()] * len(outcomes)
        self.asked += [AskedDocument(document.id, document.group, o, f) for o, f in zip(outcomes, told, strict=True)]

    def note(self, memory: Memory, seconds: float) -> None:
        record = memory.record
        self.document_fet.append(sum(record.fet.values()))
        self.document_pass_fet.append(sum(record.fet.get(kind, 0.0) for kind in ("preparation", "passes")))
        self.document_seconds.append(seconds)
        self.passes.append(fmean(chunk.passes for chunk in record.chunks))
        self.kept.append(all(sleep.kept for sleep in record.sleeps))

    def cost(self) -> dict[str, dict[str, float]]:
        """FET and seconds, of a document's sleep and of a question."""
        answers = [a.outcome.answer for a in self.asked]
        return {
            "fet": {"document": _mean(self.document_fet), "question": fmean(a.fet for a in answers)},
            "seconds": {"document": _mean(self.document_seconds), "question": fmean(a.seconds for a in answers)},
        }


@dataclass
class Run:
    """One base model, one file, the arms so far."""

    base: Base
    documents: Sequence[QuestionedDocument]
    progress: Callable[[str], None]

    def without_document(self, config: Config) -> Arm:
        """Nothing consolidated; all questions of all documents in one go."""
        arm, asked = Arm(), [(d, q) for d in self.documents for q in d.questions]
        with self._nothing_written(config):
            outcomes = ask(self._answerer(config), [q for _, q in asked])
        for (document, _), outcome in zip(asked, outcomes, strict=True):
            arm.add(document, [outcome])
        self.progress("floor")
        return arm

    def in_context(self, config: Config) -> Arm:
        """Each document in the prompt of its questions."""
        arm, answerer = Arm(), self._answerer(config)
        with self._nothing_written(config):
            for document in self.documents:
                arm.add(document, ask(answerer, document.questions, document.text))
                self.progress("context")
        return arm

    def slept(self, config: Config, *, wrong: bool) -> tuple[Arm, Arm]:
        """Sleep on each document and ask; its memory also answers, as the wrong one, the questions of those that it stands in for."""
        right, other = Arm(), Arm()
        stand_in = wrong_documents(self.documents) if wrong else [None] * len(self.documents)
        for number, document in enumerate(self.documents):
            started = time.perf_counter()
            memory = self._sleep(document, config)
            right.note(memory, time.perf_counter() - started)
            mistaken = [d for d, i in zip(self.documents, stand_in, strict=True) if i == number]
            asked = [(right, document), *((other, d) for d in mistaken)]
            outcomes = iter(ask_memory(self._wake(memory, config), [q for _, d in asked for q in d.questions]))
            for arm, d in asked:
                arm.add(d, [next(outcomes) for _ in d.questions])
            self.progress("memory")
        if alone := [d for d, i in zip(self.documents, stand_in, strict=True) if i is None and wrong]:
            memory = memory_of_other_document(self.base, config)
            for document in alone:
                other.add(document, ask_memory(self._wake(memory, config), document.questions))
        other.document_fet, other.document_seconds = right.document_fet, right.document_seconds
        return right, other

    def _sleep(self, document: QuestionedDocument, config: Config) -> Memory:
        session = Session(base=self.base, config=config)
        return session.stream(Document.from_text(document.text, document.id, document.title))

    def _wake(self, memory: Memory, config: Config) -> Wake:
        return Wake(self.base, config, make_protocol(self.base, config), memory)

    def _answerer(self, config: Config) -> Answerer:
        return Answerer(self.base, make_protocol(self.base, config), config.answer)

    def _nothing_written(self, config: Config) -> AbstractContextManager[None]:
        return make_fast_weights(self.base, config, make_protocol(self.base, config)).attached(self.base.model)


def wrong_documents(documents: Sequence[QuestionedDocument]) -> list[int | None]:
    """For each document the next one, in a circle, that shares neither group nor text with it, and no title if there is such a one."""
    out: list[int | None] = []
    for here, document in enumerate(documents):
        others = [(here + step) % len(documents) for step in range(1, len(documents))]
        others = [i for i in others if documents[i].group != document.group and documents[i].text != document.text]
        apart = [i for i in others if not document.title or documents[i].title != document.title]
        out.append(next(iter(apart or others), None))
    return out


def raw_config(config: Config, passes: int) -> Config:
    """The control: next-token steps on the text, the untrained protocol, no guard that would undo them."""
    return replace(
        config,
        protocol=replace(config.protocol, name="untrained"),
        study=replace(config.study, objective="next-token", label_smoothing=0.0),
        sleep=config.sleep.even(passes),
        guard=replace(config.guard, enabled=False),
    )


def at_level(config: Config, passes: int | None) -> Config:
    """So many passes for every chunk; None leaves the configuration as it is."""
    return config if passes is None else replace(config, sleep=config.sleep.even(passes))


def measure(
    base: Base,
    documents: Sequence[QuestionedDocument],
    config: Config,
    *,
    levels: Sequence[int | None],
    arms: Sequence[str],
    raw_passes: int,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Arm]]:
    """All arms for every level; what does not depend on the level is measured once."""
    run, shared = Run(base, documents, progress), {}
    if "floor" in arms:
        shared["floor"] = run.without_document(config)
    if "raw" in arms:
        control = raw_config(config, raw_passes)
        if "floor" in arms and make_protocol(base, config).sha256 != make_protocol(base, control).sha256:
            shared["raw_floor"] = run.without_document(control)
        shared["raw"], _ = run.slept(control, wrong=False)
    if "context" in arms:
        shared["context"] = run.in_context(config)
    out = {}
    for level in levels:
        found = dict(shared)
        if "memory" in arms or "wrong" in arms:
            found["memory"], found["wrong"] = run.slept(at_level(config, level), wrong="wrong" in arms)
        order = [name for name in ("floor", "wrong", "raw_floor", "raw", "memory", "context") if name in arms or name == "raw_floor"]
        out["auto" if level is None else str(level)] = {name: found[name] for name in order if name in found}
    return out


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
