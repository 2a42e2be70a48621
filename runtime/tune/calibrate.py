"""`nrem calibrate`: the router, fitted to every way's answers to questions about a memory, beside those of earlier memories.

What was measured stays in the user's cache, with the ceiling of the same base model and protocol: a folder for each memory, its questions
and how they were asked, and the router over all of them. Knows nothing about terminals.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.lock import one_writer
from nrem.runtime.measure.questions import Question, sha256_of
from nrem.runtime.parts import calibration_folder
from nrem.runtime.tune.examples import EXAMPLES, examples_of, read_examples, told_apart
from nrem.runtime.tune.exchange import Exchange, exchange
from nrem.runtime.wake.router import FEWEST, FILE, FIRST, Example, Router
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import ROUTER, WAYS

ASKED = "asked"
"""The folder of what was asked."""
NOT_IN_ANSWERS = ("way", "price", "batch_size")
"""Settings of answering that change no answer in a given way."""


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
            "judged_on": {"questions": self.exchange[0].questions, "ways": list(self.exchange[0].shares)},
            "ways": {way: head.fet for way, head in self.router.heads.items()},
            "exchange": [asdict(row) for row in self.exchange],
            "kept_in": str(self.path),
        }


def calibrate(
    wake: Wake, questions: Sequence[Question], ways: Sequence[str] = (), count: Callable[[int, int], None] = lambda done, of: None
) -> Calibrated:
    """Ask what is missing, fit, save; `ways` beside `direct`, by default all that the memory can go. The router learns from earlier
    questions in whatever ways they were asked; it is judged on those that were asked in all of these.

    Raises `UsageError` for too few questions, and for a way that cannot be gone, and `InUseError` where another process calibrates.
    """
    if len({(q.question, q.answers) for q in questions}) < FEWEST:
        raise UsageError(f"--questions: got {len(questions)}, expected {FEWEST} or more: fewer say nothing about when a way is right")
    kept = wake.memory.text is not None and len(wake.memory.text) > 0
    own = tuple(str(wake.way(way)) for way in ways) or tuple(way for way in WAYS if kept or not WAYS[way].searches)
    place = calibration_folder(wake.base, wake.protocol)
    folder = place / ASKED / _key(wake, questions)
    asked = [way for way in dict.fromkeys((FIRST, *own)) if way != ROUTER]
    with one_writer(place / ASKED, "nrem calibrate"):
        examples = examples_of(wake, questions, asked, folder, folder.name, count)
        everything = told_apart([*examples, *_earlier(place / ASKED, folder)])
        router = Router.fit(everything)
        worth = tuple(exchange(everything, ways=asked))
        write_text(place / FILE, router.to_json())
    return Calibrated(router=router, exchange=worth, path=place / FILE)


def _key(wake: Wake, questions: Sequence[Question]) -> str:
    """The name of a folder: other answers than these have another."""
    answer = {key: value for key, value in asdict(wake.config.answer).items() if key not in NOT_IN_ANSWERS}
    how = [answer, wake.config.seed, repr(wake.protocol.confidence)]
    text = json_text([wake.memory.record.files, sha256_of(questions), how], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _earlier(place: Path, folder: Path) -> list[Example]:
    """What was asked before, in other folders, the newest first."""
    files = sorted(place.glob(f"*/{EXAMPLES}"), key=lambda path: (-path.stat().st_mtime, path))
    return [example for path in files if path.parent != folder for example in read_examples(path.parent)]
