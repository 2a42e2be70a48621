"""What `nrem ceiling` asks in order to calibrate confidence: answers by greedy decoding, and whether they are right.

Without questions it asks every chunk's held-out probes, of the chunk alone, as a question is answered that search led to the right chunk.
Right is an exact match, or what the data's own rule says. Knows nothing about curves.
"""

from collections.abc import Sequence
from dataclasses import replace

from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.events import Listener
from nrem.consolidation.protocol.confidence import Confidence
from nrem.runtime.config import Config
from nrem.runtime.measure.questions import QuestionedDocument
from nrem.runtime.measure.scores import score
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.ways import WAYS

CALIBRATED = ("direct", "read", "search", "ensemble")
"""Ways that confidence is calibrated for, beside the configured one; the others ask the model more than once."""


class ProbeAsker:
    """Asks probes while a sleep goes on, and keeps the answers by level."""

    def __init__(self, levels: Sequence[int], trained_passes: int) -> None:
        """Asks at the levels up to the depth of a sleep that nothing limits: where it ends is known only when all are measured."""
        self.trained_passes = trained_passes
        deepest = nearest_level(levels, trained_passes)
        self.levels = tuple(level for level in levels if 0 < level <= deepest)
        self.pairs: dict[int, list[tuple[float, bool]]] = {level: [] for level in self.levels}

    def ask(self, session: Session, index: int, level: int) -> None:
        """Ask what the session's fast weights, as they are now, know of a chunk; nothing where the level does not count."""
        if level not in self.pairs:
            return
        assert session.memory.text is not None, "a session that reads keeps the text"
        sleeper = session.writer.sleeper
        probes = sleeper.questions_of(session.memory.text.get(index))
        with sleeper.rule.alone(index):
            answers = session.wake.answerer.ask_all([probe.question for probe in probes])
        for probe, answer in zip(probes, answers, strict=True):
            right = score(probe.question, answer.answer, [probe.answer]).accuracy == 1
            self.pairs[level].append((answer.token_confidence, right))

    def level(self, n_star: int) -> int:
        """The level that a sleep goes to; where passes do not pay, the one that it goes to when it is told to."""
        return nearest_level(self.levels, self.trained_passes, n_star or None)

    def confidence(self, n_star: int) -> Confidence | None:
        """Fitted to the answers at that level."""
        level = self.level(n_star)
        return Confidence.of(self.pairs[level], level)


def confidence_of_questions(
    base: Base, config: Config, documents: Sequence[QuestionedDocument], level: int, listener: Listener
) -> Confidence | None:
    """Fitted to the answers to questions, each asked of a memory of its document as any question is; beside that, in `CALIBRATED`."""
    config = replace(config, sleep=replace(config.sleep, passes=level), answer=replace(config.answer, sleep_again=0))
    pairs: dict[str, list[tuple[float, bool]]] = {}
    for document in documents:
        session = Session(base=base, config=config, listener=listener)
        session.stream(Document.from_text(document.text, document.id, document.title))
        kept = session.memory.text is not None and len(session.memory.text) > 0
        own = str(session.wake.way())
        for way in dict.fromkeys((own, *(way for way in CALIBRATED if kept or not WAYS[way].searches))):
            pairs.setdefault(way, []).extend(_answered(session, document, way))
    fits = [fit for way, found in pairs.items() if (fit := Confidence.of(found, level, "questions", way)) is not None]
    return replace(fits[0], others=tuple(fits[1:])) if fits else None


def _answered(session: Session, document: QuestionedDocument, way: str) -> list[tuple[float, bool]]:
    answers = session.wake.answers([q.question for q in document.questions], way)
    scores = [score(q.question, a.answer, q.answers, q.dataset) for q, a in zip(document.questions, answers, strict=True)]
    return [(answer.token_confidence, mark.accuracy == 1) for answer, mark in zip(answers, scores, strict=True)]


def nearest_level(levels: Sequence[int], trained_passes: int, n_star: int | None = None) -> int:
    """The measured level, 0 left out, that is nearest to what a sleep does by itself; the lower one of two."""
    depth = SleepConfig().resolved(trained_passes, n_star).passes
    return min((level for level in levels if level), key=lambda level: abs(level - depth))
