"""Abstention: does a memory say "not stated" of what its document does not say, and how sure may one be of what it does say?

    python -m benchmarks.abstention --data FILE.jsonl ... [--documents 6] [--chunks 16] [--questions 10] [--way search] [--json]

Every memory is asked its own questions, and as many about the next document of the files: abstaining is right for these only. Precision and
recall are given for answers that say "not stated", and for a threshold on each sign that costs nothing more: the probability of "not
stated" where the answer begins, and 1 minus the answer's own probability. A threshold is chosen for every document on the others, as the
one with the best F1 of abstaining. Reliability and Brier score are those of `Answer.confidence` over the own questions.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from rich.table import Table
from tqdm import tqdm

from benchmarks.closed_book import with_room
from benchmarks.harness import common
from benchmarks.harness.arms import wrong_documents
from benchmarks.harness.calibrated import from_others, reliability
from benchmarks.wake import beginning, memory_of
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.evaluate import Outcome, ask_memory
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import parse_way

SIGNS = {
    "not_stated": lambda answer: answer.not_stated,
    "unsure": lambda answer: 1 - answer.token_confidence,
    "both": lambda answer: answer.not_stated / max(answer.not_stated + answer.token_confidence, 1e-9),
}
"""What an answer shows, by which one may abstain: the higher, the less the document seems to say it."""


@dataclass(frozen=True)
class Told:
    """One answer of one memory."""

    document: str
    own: bool
    """Whether the question is about the memory's document."""
    outcome: Outcome

    @property
    def answer(self) -> Answer:
        return self.outcome.answer

    @property
    def right(self) -> bool:
        return self.own and self.outcome.score.accuracy == 1


def measure(base: Base, config: Config, documents: Sequence[QuestionedDocument], way: str, bar: tqdm) -> list[Told]:
    """Every memory's answers, to its own questions and to those of another document."""
    found, protocol = list[Told](), make_protocol(base, config)
    for document, other in zip(documents, wrong_documents(documents), strict=True):
        if other is None:
            raise UsageError(f"{document.id}: there is no other document to ask about; give more with --documents")
        memory = memory_of(base, config, document)
        wake = Wake(base, config, protocol, memory)
        for own, asked in ((True, document.questions), (False, documents[other].questions)):
            found += [Told(document.id, own, outcome) for outcome in ask_memory(wake, asked, way)]
        bar.update()
    return found


def abstention(told: Sequence[Told], abstains: Sequence[bool]) -> dict[str, float | None]:
    """Precision and recall of abstaining, and what it costs: the share of the own questions' right answers that are not given."""
    wrongly = sum(a and t.own for t, a in zip(told, abstains, strict=True))
    rightly = sum(a and not t.own for t, a in zip(told, abstains, strict=True))
    lost = [a for t, a in zip(told, abstains, strict=True) if t.right]
    return {
        "abstained": rightly + wrongly,
        "precision": rightly / (rightly + wrongly) if rightly + wrongly else None,
        "recall": rightly / sum(not t.own for t in told),
        "right_answers_lost": fmean(lost) if lost else None,
    }


def best_threshold(values: Sequence[float], other: Sequence[bool]) -> float:
    """The value from which abstaining has the best F1; infinite where abstaining never does any good."""
    best, threshold = 0.0, float("inf")
    for value in sorted(set(values)):
        chosen = [v >= value for v in values]
        hits = sum(c and o for c, o in zip(chosen, other, strict=True))
        if (f1 := 2 * hits / (sum(chosen) + sum(other))) > best:
            best, threshold = f1, value
    return threshold


def by_others(told: Sequence[Told], sign: str) -> tuple[list[bool], list[float]]:
    """Who abstains where each document's threshold is chosen on the other documents, and these thresholds."""
    value = {id(t): SIGNS[sign](t.answer) for t in told}
    thresholds = {}
    for document in {t.document for t in told}:
        rest = [t for t in told if t.document != document]
        thresholds[document] = best_threshold([value[id(t)] for t in rest], [not t.own for t in rest])
    return [value[id(t)] >= thresholds[t.document] for t in told], sorted(thresholds.values())


def separation(told: Sequence[Told], sign: str) -> float:
    """Probability that the sign is higher for a question about another document than for an own one (area under the ROC curve)."""
    own, other = (np.array([SIGNS[sign](t.answer) for t in told if t.own == mine]) for mine in (True, False))
    higher = (other[:, None] > own[None]).mean() + 0.5 * (other[:, None] == own[None]).mean()
    return float(higher)


def report(told: Sequence[Told]) -> dict[str, Any]:
    """All figures."""
    said = abstention(told, [not t.answer.stated for t in told])
    signs: dict[str, Any] = {}
    for sign in SIGNS:
        abstains, thresholds = by_others(told, sign)
        signs[sign] = abstention(told, abstains) | {"auc": separation(told, sign), "thresholds": [thresholds[0], thresholds[-1]]}
    own = [t for t in told if t.own]
    right, groups = [t.right for t in own], [t.document for t in own]
    token = [t.answer.token_confidence for t in own]
    confidences = {"confidence": [t.answer.confidence for t in own], "token_confidence": token}
    if (others := from_others(token, right, groups)) is not None:
        confidences["calibrated_on_others"] = others
    return {
        "questions": {"own": len(own), "other": len(told) - len(own)},
        "right": fmean(right),
        "said": said,
        "signs": signs,
        "reliability": {name: reliability(values, right) for name, values in confidences.items()},
    }


def abstention_table(result: Mapping[str, Any], title: str) -> Table:
    """One row for what is said, one for each sign."""
    out = Table("abstains where", title=title, title_justify="left")
    for column in ("abstained", "precision", "recall", "right answers lost", "AUC", "threshold"):
        out.add_column(column, justify="right")
    rows = {'the answer is "not stated"': result["said"]} | {f"{sign} is high": row for sign, row in result["signs"].items()}
    for name, row in rows.items():
        shares = ["-" if row[key] is None else f"{100 * row[key]:.0f} %" for key in ("precision", "recall", "right_answers_lost")]
        more = [f"{row['auc']:.2f}", "-".join(f"{t:.3g}" for t in row["thresholds"])] if "auc" in row else ["", ""]
        out.add_row(name, str(row["abstained"]), *shares, *more)
    return out


def reliability_table(result: Mapping[str, Any]) -> Table:
    """Share right against mean confidence, in bins."""
    out = Table("own questions", "Brier", "share right / mean confidence (answers) in bins, per cent", title_justify="left")
    for name, row in result["reliability"].items():
        bins = [f"{100 * b['right']:.0f} / {100 * b['confidence']:.0f} ({b['n']})" for b in row["bins"] if b["n"]]
        out.add_row(name.replace("_", " "), f"{row['brier']:.3f}", "   ".join(bins))
    return out


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("abstention", "Whether a memory abstains from what its document does not say.")
    parser.add_argument("--data", required=True, nargs="+", help="JSON lines: documents with questions")
    parser.add_argument("--documents", type=int, default=6, metavar="N", help="the first N documents of each file (6)")
    parser.add_argument("--chunks", type=int, default=16, metavar="N", help="a document is cut behind N chunks (16)")
    parser.add_argument("--questions", type=int, default=10, metavar="N", help="at most N questions a document, drawn once (10)")
    parser.add_argument("--way", default="search", help="how they are answered (search)")
    args = parser.parse_args(arguments)
    parse_way(args.way)
    if min(counts := (args.documents, args.chunks, args.questions)) < 1:
        raise UsageError(f"--documents, --chunks and --questions: got {', '.join(map(str, counts))}, expected 1 or more")
    config = load_config(args.config, args.set)
    whole = [document for path in args.data for document in read_documents(path)[: args.documents]]
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_scores.py", "tests/runtime/wake/test_wake.py")
    base = load_base(config)
    cut = [beginning(base, document, config, args.chunks, args.questions) for document in whole]
    documents = [document for document in cut if document]
    config = with_room(config, base, documents)
    config = replace(config, answer=replace(config.answer, way=args.way))
    with tqdm(total=len(documents), unit="document", file=sys.stderr, smoothing=0.05) as bar:
        told = measure(base, config, documents, args.way, bar)
    result = {
        "benchmark": "abstention",
        "way": args.way,
        "documents": len(documents),
        "protocol": make_protocol(base, config).id,
        **report(told),
        **common.environment(base),
    }
    common.show(abstention_table(result, f"{len(documents)} documents, way {args.way}"), to_stderr=args.json)
    common.show(reliability_table(result), to_stderr=args.json)
    rows = [
        {"document": t.document, "own": t.own, "right": t.right, "accepted": list(t.outcome.question.answers)} | asdict(t.answer)
        for t in told
    ]
    common.finish("abstention", result, {"config": to_dict(config), "outcomes": rows}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
