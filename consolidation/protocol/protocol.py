"""A protocol: how this base model sleeps and is asked. Prompts and the name of its write rule; a trained one adds learned parameters, and
what was measured of them. The untrained protocol holds prompts only. Knows nothing about chunks or passes.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.write.learned import LearnedWrite
from nrem.memory.saved.json_text import json_text

HASHED_AS = {"keyed": "ridge", "study": "gradient"}
"""Rules under the name that they had when memories that are still around were made."""


@dataclass(frozen=True, eq=False)
class Protocol(Prompts):
    """Prompts, and what was learned to write for them."""

    id: str = "untrained"
    rule: str = "study"
    """Name of the write rule, as in `write.rules.RULES`."""
    trained_passes: int = 0
    """Depth that the passes were trained for; 0 for an untrained protocol."""
    segment_chunks: int = 0
    """Chunks that one adapter was measured to hold; 0 for no limit."""
    question_chunks: int = 0
    """Most chunks that a question is answered from, where their statistics are kept; 0 for all of an adapter."""
    kept_energy: float = 1.0
    """Share of what was written, as texts and ordinary text meet it, that survives the cut to a saved adapter's rank."""
    ceiling: Ceiling | None = None
    """How deep passes were measured to pay; None where nobody measured."""
    curves: CurveTable | None = None
    """The measured curves, for allocators that predict."""
    confidence: Confidence | None = None
    """What an answer's probability was measured to be worth; None where nobody measured."""
    learned: LearnedWrite[Any] | None = None
    """What the rule has learned; None for an untrained protocol."""
    asker: Asker | None = None
    """What asks about chunks before they are slept on; None where no asker was trained. It shapes no prompt and no write, so it is no
    part of the protocol's hash."""
    weights_sha256: str = ""
    """Hash of the learned parameters' files."""

    def right(self, probability: float, way: str) -> float:
        """The probability that an answer is right which decoding gave this one, where that was measured for the way; else the same."""
        measured = self.confidence.of_way(way) if self.confidence else None
        return round(measured.right(probability), 4) if measured else probability

    @property
    def retired(self) -> bool:
        """Whether it was trained once, and what it has learned is no longer here: it asks, and cannot write."""
        return bool(self.weights_sha256) and self.learned is None

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that shapes a prompt, for the memory's provenance."""
        values = {k: getattr(self, k) for k in ("id", "rule", "instruction", "template", "trained_passes", "weights_sha256")} | {
            "around": self._around
        }
        values["rule"] = HASHED_AS.get(self.rule, self.rule)
        if self.kept_energy < 1:
            values["kept_energy"] = self.kept_energy
        return hashlib.sha256(json_text(values, sort_keys=True).encode()).hexdigest()
