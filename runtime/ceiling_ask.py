"""What `nrem ceiling` asks in order to calibrate confidence: every chunk's held-out probes, answered by greedy decoding and scored.

A chunk is asked alone, as a question is answered that search led to the right chunk. Right is an exact match, by the rule of
`runtime.scores`. Knows nothing about curves.
"""

from collections.abc import Sequence

from nrem.consolidation.confidence import Confidence
from nrem.consolidation.sleep_config import SleepConfig
from nrem.runtime.scores import score
from nrem.runtime.session import Session


class Asker:
    """Keeps the answers by level."""

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
        probes = sleeper.meter.material.held_out_probes(session.memory.text.get(index))
        with sleeper.rule.alone(index):
            answers = session.answerer.ask_all([probe.question for probe in probes])
        for probe, answer in zip(probes, answers, strict=True):
            right = score(probe.question, answer.answer, [probe.answer]).em == 1
            self.pairs[level].append((answer.token_confidence, right))

    def confidence(self, n_star: int) -> Confidence | None:
        """Fitted at the depth that a sleep goes to; where passes do not pay, at the depth that it goes to when it is told to."""
        level = nearest_level(self.levels, self.trained_passes, n_star or None)
        return Confidence.of(self.pairs[level], level)


def nearest_level(levels: Sequence[int], trained_passes: int, n_star: int | None = None) -> int:
    """The measured level, 0 left out, that is nearest to what a sleep does by itself; the lower one of two."""
    depth = SleepConfig().resolved(trained_passes, n_star).passes
    assert depth != "auto", "resolved"
    return min((level for level in levels if level), key=lambda level: abs(level - depth))
