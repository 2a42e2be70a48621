"""Sleep again: what do extra passes on the chunks that a question leads to add to its answer, and is confidence worth choosing by?

    python -m benchmarks.sleep_again --data FILE.jsonl [--limit N] [--passes 2] [--sure 0.5] [--json]

Each document is slept on once. Every question is answered at once, and again by a session that spends `--passes` on those that were
answered with less confidence than `--sure`; FET of a question are all that was spent on it. Confidence is compared with the share of
answers that were right (exact match, or the data's own rule), also as it would be if it were calibrated on the other documents' questions.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from rich.table import Table
from tqdm import tqdm

from benchmarks.closed_book import with_room
from benchmarks.harness import common
from benchmarks.harness.reliability import from_others, reliability
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.questions import Question, QuestionedDocument, read_documents
from nrem.runtime.measure.scores import Score, score
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answer

ARMS = ("at_once", "again")


@dataclass(frozen=True)
class AskedAgain:
    """One question, answered both ways; `answers` in the order of `ARMS`."""

    document: str
    group: str
    question: Question
    answers: tuple[Answer, Answer]

    @property
    def scores(self) -> tuple[Score, Score]:
        first, second = (score(self.question.question, a.answer, self.question.answers, self.question.dataset) for a in self.answers)
        return first, second


def ask_both(base: Base, config: Config, documents: Sequence[QuestionedDocument], tell: Callable[[], object]) -> list[AskedAgain]:
    """Sleep on each document, ask its questions of a session that never sleeps again and of one that does."""
    config = replace(config, answer=replace(config.answer, way="direct"))  # of answers with the found chunk in the prompt there are none
    never, asked = replace(config, answer=replace(config.answer, sleep_again=0)), []
    for document in documents:
        first = Session(base=base, config=never)
        memory = first.stream(Document.from_text(document.text, document.id, document.title))
        second = Session(memory, base=base, config=config)
        questions = [q.question for q in document.questions]
        answers = zip(document.questions, first.answers(questions), second.answers(questions), strict=True)
        asked += [AskedAgain(document.id, document.group, question, (one, two)) for question, one, two in answers]
        tell()
    return asked


def report(asked: Sequence[AskedAgain]) -> dict[str, Any]:
    """Scores and prices of both ways, their differences with intervals by document, and the reliability of confidence."""
    groups = [a.group for a in asked]
    resampler = Resampler(groups)
    right = [[a.scores[i].accuracy == 1 for a in asked] for i in range(2)]
    f1 = [[a.scores[i].f1 for a in asked] for i in range(2)]
    token = [a.answers[0].token_confidence for a in asked]
    confidences = {
        "token_confidence": (token, right[0]),
        "confidence": ([a.answers[0].confidence for a in asked], right[0]),
        "confidence_again": ([a.answers[1].confidence for a in asked], right[1]),
    }
    if (others := from_others(token, right[0], groups)) is not None:
        confidences["calibrated_on_others"] = (others, right[0])
    return {
        "arms": {name: _means(asked, i) for i, name in enumerate(ARMS)},
        "again_minus_at_once": {
            "f1": _difference(resampler, groups, f1[1], f1[0]),
            "right": _difference(resampler, groups, right[1], right[0]),
        },
        "slept_again": fmean(a.answers[1].passes > 0 for a in asked),
        "changed": fmean(a.answers[0].answer != a.answers[1].answer for a in asked),
        "reliability": {name: reliability(*values) for name, values in confidences.items()},
    }


def _means(asked: Sequence[AskedAgain], arm: int) -> dict[str, float]:
    scores, answers = [a.scores[arm] for a in asked], [a.answers[arm] for a in asked]
    return {
        "f1": fmean(s.f1 for s in scores),
        "em": fmean(s.em for s in scores),
        "accuracy": fmean(s.accuracy for s in scores),
        "fet": fmean(a.fet for a in answers),
        "seconds": fmean(a.seconds for a in answers),
        "n": len(asked),
    }


def _difference(resampler: Resampler, groups: Sequence[str], values: Sequence[float], others: Sequence[float]) -> dict[str, float | None]:
    gaps = [value - other for value, other in zip(values, others, strict=True)]
    low, high = interval(resampler.means(gaps, groups)) or (None, None)
    return {"mean": fmean(gaps), "low": low, "high": high}


def score_table(result: Mapping[str, Any], title: str) -> Table:
    """Scores beside prices."""
    out = Table("", title=title, title_justify="left", caption_justify="left")
    for column in ("F1", "exact", "FET/question", "s/question", "n"):
        out.add_column(column, justify="right")
    for name, arm in result["arms"].items():
        cells = (f"{100 * arm['f1']:.1f}", f"{100 * arm['em']:.1f}", f"{arm['fet']:,.0f}", f"{arm['seconds']:.3f}", str(arm["n"]))
        out.add_row(name.replace("_", " "), *cells)
    gap = result["again_minus_at_once"]["f1"]
    ends = "" if gap["low"] is None else f" [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"
    out.caption = (
        f"slept again for {100 * result['slept_again']:.0f} % of the questions, other answer for {100 * result['changed']:.0f} %; "
        f"F1 {100 * gap['mean']:+.1f}{ends}"
    )
    return out


def reliability_table(result: Mapping[str, Any]) -> Table:
    """For each kind of confidence: its Brier score, and share right against mean confidence in five bins."""
    rows = result["reliability"]
    bins = next(iter(rows.values()))["bins"]
    out = Table("", title="share right / mean confidence (answers), in per cent", title_justify="left")
    for column in ("Brier", "all", *(f"{100 * b['from']:.0f}-{100 * b['to']:.0f} %" for b in bins)):
        out.add_column(column, justify="right")
    for name, row in rows.items():
        cells = [f"{100 * b['right']:.0f} / {100 * b['confidence']:.0f} ({b['n']})" if b["n"] else "-" for b in row["bins"]]
        out.add_row(name.replace("_", " "), f"{row['brier']:.3f}", f"{100 * row['right']:.0f} / {100 * row['mean']:.0f}", *cells)
    return out


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("sleep_again", "What extra passes on the chunks that a question leads to add to its answer.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N documents")
    parser.add_argument("--passes", type=int, default=2, metavar="N", help="passes to spend on a question that is not sure enough (2)")
    parser.add_argument("--sure", type=float, default=0.5, metavar="P", help="confidence from which an answer is sure enough (0.5)")
    args = parser.parse_args(arguments)
    if args.limit < 0 or args.passes < 1:
        raise UsageError(f"--limit and --passes: got {args.limit} and {args.passes}, expected 0 or more and 1 or more")
    config = load_config(args.config, [*args.set, f"answer.sleep_again={args.passes}", f"answer.sure={args.sure}"])
    documents = read_documents(args.data)[: args.limit or None]
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_scores.py", "tests/runtime/wake/test_sleep_again.py")
    base = load_base(config)
    config = with_room(config, base, documents)
    with tqdm(total=len(documents), unit="document", file=sys.stderr, smoothing=0.05) as bar:
        asked = ask_both(base, config, documents, bar.update)
    protocol, name = make_protocol(base, config), args.data.rsplit("/", 1)[-1]
    result = {
        "benchmark": "sleep_again",
        "data": name,
        "documents": len(documents),
        "passes": args.passes,
        "sure": args.sure,
        "protocol": protocol.id,
        "calibration": protocol.confidence.to_dict() if protocol.confidence else None,
        **report(asked),
        **common.environment(base),
    }
    common.show(score_table(result, f"{name}: {len(documents)} documents, {args.passes} passes below {args.sure}"), to_stderr=args.json)
    common.show(reliability_table(result), to_stderr=args.json)
    rows = [
        {"document": a.document, "group": a.group, "question": a.question.id, "accepted": list(a.question.answers)}
        | {arm: asdict(answer) for arm, answer in zip(ARMS, a.answers, strict=True)}
        for a in asked
    ]
    common.finish(f"sleep_again-{name.split('.')[0]}", result, {"config": to_dict(config), "outcomes": rows}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
