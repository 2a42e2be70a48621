"""Tuning: passes, way of answering and wording for a task, chosen together. What is asked is measured once and kept in a folder.

    plan (settings) -> measure (a bank, filled by halving where settings are many) -> recommend, verdicts

Knows nothing about terminals.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nrem.consolidation.budget import Budget, parse_budget
from nrem.consolidation.events import Listener, ignore
from nrem.consolidation.resample import Interval, QuestionResampler
from nrem.memory.arguments import check_kind, check_list
from nrem.memory.errors import UsageError
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.target import real_target
from nrem.runtime.config import Config, load_config
from nrem.runtime.measure.questions import Question, read_questions
from nrem.runtime.models.load import Base
from nrem.runtime.parts import check_parts, named_base
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import check_names, open_documents
from nrem.runtime.show.night import plural
from nrem.runtime.tune.measure import Measurement, Text
from nrem.runtime.tune.plan import PASSES, Plan
from nrem.runtime.tune.ranges import Range, with_values
from nrem.runtime.tune.recommend import Recommendation, Wish, recommend
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.setting import Setting
from nrem.runtime.tune.trial_asker import TrialAsker
from nrem.runtime.tune.trials import TRIALS, Searched, check_search, search_ranges
from nrem.runtime.tune.verdicts import verdicts

SCORES = ("f1", "em", "nll")
RANGES = "ranges"
"""The folder of the trials, beside the bank."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was measured, 0 passes first and the document in the prompt last, and what follows from it."""

    rows: tuple[Row, ...]
    """Those that were not asked every question were dropped on the way."""
    recommendation: Recommendation
    verdicts: tuple[str, ...]
    """What each of passes, search, votes, thinking, wordings was worth."""
    config: Config
    """The configuration with the recommended passes, way and wording, for `nrem sleep` and whoever asks its memory."""
    wish: Wish
    about: dict[str, Any]
    """Documents, questions, levels, base model."""
    searched: Searched | None = None
    """What came of the ranges, where some were given."""

    def scores(self, row: Row) -> dict[str, Interval]:
        """Means with intervals, by the name of the score."""
        return {name: row.interval(name) for name in SCORES}

    @property
    def answers_share(self) -> float:
        """FET of the answers that were asked for, as a share of what all settings on all questions would have cost."""
        most = max(len(row.asked) for row in self.rows)
        return sum(row.question_fet * len(row.asked) for row in self.rows) / sum(row.question_fet * most for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For programs; the answers themselves are in the bank."""
        n = self.wish.expected_questions
        rows = [
            {
                "way": "context" if row.passes is None else "passes" if row.passes else "floor",
                "passes": row.passes,
                "answer_way": row.way,
                "wording": row.wording,
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
        return {
            "rows": rows,
            "recommendation": self.recommendation.to_dict(),
            "verdicts": list(self.verdicts),
            "searched": self.searched.to_dict() if self.searched else None,
            "answers_share": self.answers_share,
            "wish": {"expected_questions": n, "price": self.wish.price, "budget": self.wish.budget._asdict()},
            "about": self.about,
        }


def tune(
    *documents: Document | str | Path,
    questions: Sequence[Question] | str | Path,
    passes: Sequence[int] = PASSES,
    ways: Sequence[str] = (),
    wordings: Sequence[str] = (),
    ranges: Sequence[str] = (),
    trials: int = TRIALS,
    share: float | None = None,
    base: Base | str | None = None,
    config: Config | None = None,
    expected_questions: int = 20,
    price: float = 0.0,
    budget: Budget | str | None = None,
    folder: str | Path | None = None,
    listener: Listener = ignore,
    tell: Callable[[str], None] = lambda text: None,
    count: Callable[[int, int], None] = lambda done, of: None,
) -> Tuning:
    """Find passes, way and wording for these documents, which make one memory, and questions about them.

    >>> tuned = tune("report.md", questions="qa.jsonl", passes=(0, 1, 2, 4), ways=["search", "read"])   # doctest: +SKIP
    >>> tuned.recommendation.passes, tuned.recommendation.answer_way                                    # doctest: +SKIP

    The configured way of answering and `direct` are measured in any case, as are 0 passes and the document in the prompt. `share` is the
    part of the price of all settings on all questions that is spent on answers; None for all of it where settings are few, else a quarter,
    by sequential halving. `ranges` such as "dreams.most_doubt=0.02:0.4" are searched in so many `trials` at what is recommended. `price` is
    what a point of F1 is worth over all expected questions, in FET, and `budget` a cap on the sleep and all of them, such as "400kFET".
    With `folder` outcomes are kept there as they are measured, and a later call with the same documents, questions, levels and
    configuration goes on where an earlier one was killed; everything else may differ.
    """
    check_names(documents)
    if not isinstance(questions, str | Path):
        check_list("questions", questions, Question, "Question, or the name of a file of them")
    check_list("passes", passes, int, "whole numbers from 0")
    for name, texts_ in (("ways", ways), ("wordings", wordings), ("ranges", ranges)):
        check_list(name, texts_, str, "texts")
    for name, number in (("share", 1 if share is None else share), ("expected_questions", expected_questions), ("price", price)):
        check_kind(name, number, (int, float), "a number")
    check_kind("folder", folder or "", (str, Path), "the name of a folder")
    check_parts(None, base, config)
    check_kind("budget", Budget() if budget is None else budget, (str, Budget), 'a text such as "400kFET" or "90s"')
    cap = parse_budget(budget, "budget") if isinstance(budget, str) else budget or Budget()
    wish = Wish(expected_questions=expected_questions, price=price, budget=cap)
    resolved = config or load_config()
    resolved, base = named_base(resolved, base)
    asked = list(read_questions(questions)) if isinstance(questions, str | Path) else list(questions)
    if not documents or not asked:
        raise UsageError(f"tune: got no {'questions' if documents else 'documents'}; give at least one")
    plan = Plan.of(resolved, len(asked), passes, ways, wordings, share)
    check_kind("trials", trials, int, "a whole number of trials")
    spans = [Range.parse(text, resolved) for text in ranges]
    check_search(spans, wish)
    texts = [_in_memory(document) for document in open_documents(documents, tell=tell)]
    with tempfile.TemporaryDirectory(prefix="nrem-") as scratch:
        place = real_target(Path(folder or scratch))
        with one_writer(place, "tune"):
            measurement = Measurement(place, resolved, texts, asked, plan, base=base, listener=listener, tell=tell, count=count)
            rows = measurement.measure()
            found = recommend(rows, wish, QuestionResampler.of(len(asked)))
            searched = _search(measurement, spans, trials, found, wish, place / RANGES) if spans else None
        about = measurement.bank.about
    answer = replace(resolved.answer, way=found.answer_way, wording=found.wording)
    chosen = replace(resolved, sleep=resolved.sleep.even(found.passes), answer=answer)
    if searched and searched.better:
        chosen = with_values(chosen, searched.best.values)
    said = tuple(verdicts(rows))
    return Tuning(rows=tuple(rows), recommendation=found, verdicts=said, config=chosen, wish=wish, about=about, searched=searched)


def _search(measured: Measurement, ranges: Sequence[Range], trials: int, found: Recommendation, wish: Wish, folder: Path) -> Searched:
    """The numbers of settings, searched at what is recommended; where that does not sleep and a number is of the sleep, at the least
    passes that were tried."""
    passes = found.passes or (measured.plan.levels[1] if any(r.sleeps for r in ranges) else 0)
    setting = Setting(passes=passes, way=found.answer_way, wording=found.wording)
    texts = [(text.document, text.text) for text in measured.texts]
    asker = TrialAsker(measured.base, measured.config, texts, measured.questions, setting, ranges, measured.listener)
    about, asked = {"setting": asdict(setting)}, [question.question for question in measured.questions]
    more: dict[str, Any] = {"about": about, "seed": measured.config.seed, "tell": measured.tell}
    searched = search_ranges(ranges, trials, asked, asker.answers, asker.sleep_fet, wish, folder, **more)
    if passes == found.passes:
        return searched
    said = f"{searched.sentence}; tried at {plural(passes, 'pass', 'passes')}, which is not recommended"
    return replace(searched, better=False, sentence=said)


def _in_memory(document: Document) -> Text:
    text = "".join(document.pieces())
    return Text(Document.from_text(text, document.name, document.title), text)
