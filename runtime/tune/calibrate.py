"""`nrem calibrate`: the router, fitted to every way's answers to questions about a memory, beside those of earlier memories.

What was measured stays in the user's cache, with the ceiling of the same base model and protocol: a folder for each memory and its
questions, and the router over all of them. Knows nothing about terminals.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text
from nrem.runtime.measure.questions import Question, sha256_of
from nrem.runtime.parts import calibration_folder
from nrem.runtime.tune.examples import EXAMPLES, examples_of, read_examples
from nrem.runtime.tune.exchange import Exchange, exchange
from nrem.runtime.wake.router import FEWEST, FILE, FIRST, Router
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import ROUTER, WAYS

ASKED = "asked"
"""The folder of what was asked."""


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A router, and what it is worth on questions that it has not seen."""

    router: Router
    exchange: tuple[Exchange, ...]
    path: Path

    def to_dict(self) -> dict[str, Any]:
        return {
            "questions": self.router.questions,
            "documents": self.router.groups,
            "ways": {way: head.fet for way, head in self.router.heads.items()},
            "exchange": [asdict(row) for row in self.exchange],
            "kept_in": str(self.path),
        }


def calibrate(
    wake: Wake, questions: Sequence[Question], ways: Sequence[str] = (), count: Callable[[int, int], None] = lambda done, of: None
) -> Calibrated:
    """Ask what is missing, fit, save; `ways` beside `direct`, by default all that the memory can go.

    Raises `UsageError` for too few questions, and for a way that cannot be gone.
    """
    if len(questions) < FEWEST:
        raise UsageError(f"--questions: got {len(questions)}, expected {FEWEST} or more: fewer say nothing about when a way is right")
    kept = wake.memory.text is not None and len(wake.memory.text) > 0
    own = tuple(str(wake.way(way)) for way in ways) or tuple(way for way in WAYS if kept or not WAYS[way].searches)
    place = calibration_folder(wake.base, wake.protocol)
    key = json_text([wake.memory.record.files, sha256_of(questions)], sort_keys=True)
    folder = place / ASKED / hashlib.sha256(key.encode()).hexdigest()[:16]
    asked = [way for way in dict.fromkeys((FIRST, *own)) if way != ROUTER]
    examples = examples_of(wake, questions, asked, folder, folder.name, count)
    others = [e for path in sorted((place / ASKED).glob(f"*/{EXAMPLES}")) if path.parent != folder for e in read_examples(path.parent)]
    everything = [*examples, *(e for e in others if e.right.keys() >= examples[0].right.keys())]
    router = Router.fit(everything)
    write_text(place / FILE, router.to_json())
    return Calibrated(router=router, exchange=tuple(exchange(everything)), path=place / FILE)
