"""Tuning: the number of passes for a task. The same questions after 0 passes, at every level of one sleep, with the document in the prompt.

Everything is kept in a folder as it is measured, and what is there is not measured again. Knows nothing about terminals.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nrem.consolidation.budget import Budget
from nrem.consolidation.events import Listener, ignore
from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.json_text import json_text
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.evaluate import Outcome, ask, ask_memory
from nrem.runtime.measure.questions import Question, read_questions
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents
from nrem.runtime.show.night import plural
from nrem.runtime.tune.nights import level_folder, sleep_at_levels
from nrem.runtime.tune.recommend import Recommendation, Wish, recommend
from nrem.runtime.tune.rows import Asked, Row, RowFile
from nrem.runtime.wake.decode import Answerer
from nrem.runtime.wake.wake import Wake
from nrem.runtime.without_effect import without_effect

PASSES = (0, 1, 2, 4, 8)
ROWS = "rows.jsonl"
LEVELS, UNFINISHED = "levels", "unfinished"
SCORES = ("f1", "em", "nll")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was measured, 0 passes first and the document in the prompt last, and what follows from it."""

    rows: tuple[Row, ...]
    recommendation: Recommendation
    config: Config
    """The configuration with the recommended number of passes."""
    wish: Wish
    about: dict[str, Any]
    """Documents, questions, levels, base model."""

    def scores(self, row: Row) -> dict[str, Interval]:
        """Means with intervals, by the name of the score."""
        resampler = QuestionResampler(len(row.asked))
        return {name: resampler.mean(row.values(name)) for name in SCORES}

    def to_dict(self) -> dict[str, Any]:
        """For programs; the answers themselves are in the file of rows."""
        n = self.wish.expected_questions
        rows = [
            {
                "way": "context" if row.passes is None else "passes" if row.passes else "floor",
                "passes": row.passes,
                **{name: interval.to_dict() for name, interval in self.scores(row).items()},
                "n": len(row.asked),
                "sleep": {
                    "fet": row.sleep_fet,
                    "estimation_fet": row.estimation_fet,
                    "seconds": row.sleep_seconds,
                    "fet_by_work": row.fet,
                    "seconds_by_work": row.seconds,
                    "rolled_back": row.rolled_back,
                },
                "question": {"fet": row.question_fet, "seconds": row.question_seconds},
                "total": {"questions": n, "fet": row.total_fet(n), "seconds": row.total_seconds(n)},
                "document_cut": row.cut,
            }
            for row in self.rows
        ]
        wish = {"expected_questions": n, "price": self.wish.price, "budget": self.wish.budget._asdict()}
        return {"rows": rows, "recommendation": self.recommendation.to_dict(), "wish": wish, "about": self.about}


def tune(
    *documents: Document | str | Path,
    questions: Sequence[Question] | str | Path,
    passes: Sequence[int] = PASSES,
    base: Base | None = None,
    config: Config | None = None,
    expected_questions: int = 20,
    price: float = 0.0,
    budget: Budget | None = None,
    folder: str | Path | None = None,
    listener: Listener = ignore,
    tell: Callable[[str], None] = lambda text: None,
) -> Tuning:
    """Find the number of passes for these documents, which make one memory, and questions about them.

    >>> tuned = tune("report.md", questions="qa.jsonl", passes=(0, 1, 2, 4))   # doctest: +SKIP
    >>> tuned.recommendation.passes, tuned.recommendation.sentences[0]         # doctest: +SKIP

    With `folder` rows are kept there as they are measured, and a later call with the same documents, questions, levels and
    configuration goes on where an earlier one was killed; only `expected_questions`, `price` and `budget` may differ.
    """
    wish = Wish(expected_questions=expected_questions, price=price, budget=budget or Budget())
    levels = check_levels(passes)
    asked = list(read_questions(questions)) if isinstance(questions, str | Path) else list(questions)
    if not documents or not asked:
        raise UsageError(f"tune: got no {'questions' if documents else 'documents'}; give at least one")
    texts = [_in_memory(document) for document in open_documents(documents, tell=tell)]
    resolved = config or load_config()
    with tempfile.TemporaryDirectory(prefix="nrem-") as scratch:
        measurement = _Measurement(Path(folder or scratch), resolved, texts, asked, levels, listener, tell)
        rows = measurement.measure(base)
        about = measurement.file.about
    found = recommend(rows, wish, QuestionResampler(len(asked)))
    chosen = replace(resolved, sleep=resolved.sleep.even(found.passes))
    return Tuning(rows=tuple(rows), recommendation=found, config=chosen, wish=wish, about=about)


def check_levels(passes: Sequence[int]) -> list[int]:
    """Sorted, 0 among them; raises `UsageError` where nothing is to be tuned."""
    levels = sorted({0, *passes})
    if levels[0] < 0 or levels[-1] == 0:
        raise UsageError(f"--passes: got {', '.join(map(str, passes))}, expected whole numbers from 0, one above it, such as 0,1,2,4,8")
    return levels


@dataclass(frozen=True)
class _Text:
    """A document and all of its text: it goes into a prompt in any case."""

    document: Document
    text: str


def _in_memory(document: Document) -> _Text:
    text = "".join(document.pieces())
    return _Text(Document.from_text(text, document.name, document.title), text)


class _Measurement:
    """Measures the rows that are missing in a folder."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        texts: Sequence[_Text],
        questions: Sequence[Question],
        levels: Sequence[int],
        listener: Listener,
        tell: Callable[[str], None],
    ) -> None:
        self.folder, self.config, self.texts, self.questions, self.levels = folder, config, texts, questions, levels
        self.listener, self.tell = listener, tell
        folder.mkdir(parents=True, exist_ok=True)
        self.file = RowFile(folder / ROWS)
        digests = [hashlib.sha256(t.text.encode()).hexdigest() for t in texts]
        asked = json_text([[q.question, q.answers, q.dataset] for q in questions])
        self.file.begin(
            {
                "documents": [{"name": t.document.name, "sha256": d} for t, d in zip(texts, digests, strict=True)],
                "questions": {"count": len(questions), "sha256": hashlib.sha256(asked.encode()).hexdigest()},
                "passes": list(levels),
                "configuration": to_dict(config),
            }
        )

    def measure(self, base: Base | None) -> list[Row]:
        """All rows; the model is loaded only where one is missing."""
        ways: list[int | None] = [*self.levels, None]
        if missing := [way for way in ways if not self.file.has(way)]:
            if base is None:
                self.tell(f"loading {self.config.model.name}")
                base = load_base(self.config)
            self.file.begin({"base model": {"name": base.identity.name, "weights_sha256": base.identity.weights_sha256}})
            self._measure(base, missing)
        for name in (LEVELS, UNFINISHED):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return sorted(self.file.rows, key=lambda row: (row.passes is None, row.passes))

    def _measure(self, base: Base, missing: Sequence[int | None]) -> None:
        protocol = make_protocol(base, self.config)
        for note in without_effect(replace(self.config, sleep=self.config.sleep.even(max(self.levels))), protocol):
            self.tell(note)
        answerer = Answerer(base, protocol, self.config.answer)
        for way in (w for w in (0, None) if w in missing):
            context = "" if way == 0 else "".join(t.text for t in self.texts)
            self._announce("0 passes" if way == 0 else "the document in the prompt")
            with make_fast_weights(base, self.config, protocol).attached(base.model):
                outcomes = ask(answerer, self.questions, context)
            cut = bool(context) and outcomes[0].answer.document_tokens < len(protocol.plain_ids(context.strip() + "\n\n"))
            self.file.add(Row(passes=way, asked=_asked(outcomes), cut=cut))
        levels = [level for level in self.levels if level and level in missing]
        if not levels:
            return
        places = {"work": self.folder / UNFINISHED, "out": self.folder / LEVELS}
        every = [level for level in self.levels if level]
        sleep_at_levels(base, self.config, [t.document for t in self.texts], every, **places, listener=self.listener)
        for level in levels:
            self._announce(plural(level, "pass", "passes"))
            memory = Memory.load(level_folder(self.folder / LEVELS, level))
            rolled_back = sum(not sleep.kept for sleep in memory.record.sleeps)
            asked = _asked(ask_memory(Wake(base, self.config, protocol, memory), self.questions))
            self.file.add(Row(passes=level, asked=asked, fet=memory.record.fet, seconds=memory.record.seconds, rolled_back=rolled_back))

    def _announce(self, way: str) -> None:
        self.tell(f"asking {plural(len(self.questions), 'question')}: {way}")


def _asked(outcomes: Sequence[Outcome]) -> tuple[Asked, ...]:
    return tuple(Asked.of(outcome) for outcome in outcomes)
