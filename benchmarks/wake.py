"""Wake: what does each way of answering give, and what does a question cost, where a document was slept on once and its text was kept?

    python -m benchmarks.wake --data FILE.jsonl ... [--documents 2] [--chunks 16] [--questions 10] [--arms ARM,ARM] [--json]

`floor` asks the reader alone, `context` puts the document into its prompt; every other arm is a way, with its amount, as `--way` takes it.
A document is cut behind `--chunks` chunks, and only what is answered in the rest is asked. Memories and answers are kept in the cache: a
run that is broken off goes on where it was, one with more arms asks these only. Intervals are resampled by document.
"""

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from itertools import islice
from typing import Any

from tqdm import tqdm

from benchmarks.closed_book import with_room
from benchmarks.harness import common
from benchmarks.harness.answered import answered
from benchmarks.harness.arms import Arm, AskedDocument
from benchmarks.harness.report import report, table
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import cut_chunks
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.evaluate import Outcome, ask, ask_memory
from nrem.runtime.measure.kept import kept_memory
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.features import features_of
from nrem.runtime.wake.router import FIRST
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import parse_way

OWN = ("floor", "context")
"""Arms that are no ways."""
ARMS = ("floor", "direct", "read", "search", "ensemble", "search:2", "think:16", "vote", "context")
BESIDE = ("ensemble", "search", "read")
"""The arms that the others are compared with, document by document: adapter and text together, and the text alone."""
ROOM = "benchmarks"


def beginning(base: Base, document: QuestionedDocument, config: Config, chunks: int, questions: int) -> QuestionedDocument | None:
    """The first `chunks` chunks of a document, and at most `questions` of its questions that they answer; None where there is none."""
    cut = cut_chunks([document.text], count_tokens=base.count_tokens, max_tokens=config.stream.chunk_tokens, document="", title="")
    text = "".join(chunk.text for chunk in islice(cut, chunks))
    whole = len(text) == len(document.text)
    asked = [q for q in document.questions if whole or any(answer in text for answer in q.answers)]
    drawn = random.Random(0).sample(asked, min(questions, len(asked)))
    return replace(document, text=text, questions=tuple(drawn)) if drawn else None


def memory_of(base: Base, config: Config, document: QuestionedDocument) -> Memory:
    """Slept on once for every commit: what older code had made would be measured as this code's."""
    return kept_memory(base, config, document.text, document.id, document.title, f"{ROOM}/{common.commit()}")


def measure(
    base: Base, config: Config, documents: Sequence[QuestionedDocument], arms: Sequence[str], tell: Callable[[str], None]
) -> dict[str, Arm]:
    """All arms over these documents."""
    found, protocol = {arm: Arm() for arm in arms}, make_protocol(base, config)
    for document in documents:
        tell("sleep")
        memory = memory_of(base, config, document)
        wake = Wake(base, config, protocol, memory)
        for arm in arms:
            tell(arm)
            ask_it = partial(outcomes, wake, document, arm)
            told = answered(ROOM, wake, arm, document.text, document.questions, ask_it)
            features = [features_of(o.answer, memory) for o in told] if arm == FIRST else []
            found[arm].add(document, told, features)
            if arm not in OWN and parse_way(arm).asks_memory:
                found[arm].note(memory, sum(memory.record.seconds.values()))
    return found


def outcomes(wake: Wake, document: QuestionedDocument, arm: str) -> list[Outcome]:
    """Its questions, asked under one arm."""
    if arm not in OWN:
        return ask_memory(wake, document.questions, arm)
    with wake.nothing_written.attached(wake.base.model):
        return ask(wake.answerer, document.questions, document.text if arm == "context" else "")


def against(arms: Mapping[str, Arm], beside: str, mark: str) -> dict[str, Any]:
    """Every arm minus this one, on the same questions."""
    if beside not in arms:
        return {}
    groups = [a.group for a in arms[beside].asked]
    resampler = Resampler(groups)
    out = {}
    for name, arm in arms.items():
        gaps = [a.marks[mark] - b.marks[mark] for a, b in zip(arm.asked, arms[beside].asked, strict=True)]
        drawn = interval(resampler.means(gaps, groups)) if len(set(groups)) > 1 else None
        out[name] = {"mean": sum(gaps) / len(gaps), "interval": drawn}
    return out


def joined(parts: Sequence[Mapping[str, Arm]]) -> dict[str, Arm]:
    """The arms of several files as those of one."""
    out = {name: Arm() for name in parts[0]}
    for part in parts:
        for name, arm in part.items():
            for key, values in vars(arm).items():
                getattr(out[name], key).extend(values)
    return out


def entry(arms: Mapping[str, Arm], documents: int) -> dict[str, Any]:
    """The figures of one file, or of all; of one document no interval can be drawn."""
    minus = {f"minus_{beside}": {mark: against(arms, beside, mark) for mark in ("f1", "em", "nll")} for beside in BESIDE}
    found = report(arms) | {"documents": documents} | minus
    if documents < 2:
        found["intervals"] = {name: dict.fromkeys(marks or ()) for name, marks in found["intervals"].items()}
    return found


def row(kind: str, arm: str, asked: AskedDocument) -> dict[str, Any]:
    """One answer, as the raw record has it: what is as in an answer that was found directly is left out."""
    marks = {mark: round(value, 4) for mark, value in asked.marks.items()}
    usual = {field.name: field.default for field in fields(Answer)}
    answer = {key: value for key, value in asdict(asked.outcome.answer).items() if value != usual[key]}
    answer["seconds"] = round(asked.outcome.answer.seconds, 3)
    about = {"leans_on": [place["chunk"] for place in asked.outcome.answer.leans_on], "features": [round(x, 3) for x in asked.features]}
    answer |= {key: value for key, value in about.items() if value}
    return {"kind": kind, "arm": arm, "document": asked.document, "accepted": list(asked.outcome.question.answers)} | marks | answer


def check_arms(text: str) -> list[str]:
    """Arms as they are given; raises `UsageError` for one that there is not."""
    arms = [arm.strip() for arm in text.split(",") if arm.strip()]
    for arm in arms:
        if arm not in OWN:
            parse_way(arm)
    if not arms:
        raise UsageError(f"--arms: got none, expected some of {', '.join(ARMS)}")
    return arms


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("wake", "Ways of answering: what each gives and costs.")
    parser.add_argument("--data", required=True, nargs="+", help="JSON lines: documents with questions, one kind a file")
    parser.add_argument("--documents", type=int, default=2, metavar="N", help="the first N documents of each file (2)")
    parser.add_argument("--chunks", type=int, default=16, metavar="N", help="a document is cut behind N chunks (16)")
    parser.add_argument("--questions", type=int, default=10, metavar="N", help="at most N questions a document, drawn once (10)")
    parser.add_argument("--arms", default=",".join(ARMS), help=f"floor, context, or ways ({','.join(ARMS)})")
    args = parser.parse_args(arguments)
    arms, counts = check_arms(args.arms), (args.documents, args.chunks, args.questions)
    if min(counts) < 1:
        raise UsageError(f"--documents, --chunks and --questions: got {', '.join(map(str, counts))}, expected 1 or more")
    config, files = load_config(args.config, args.set), {path: read_documents(path)[: args.documents] for path in args.data}
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_scores.py", "tests/runtime/wake/test_wake.py")
    base = load_base(config)
    found, asked = {}, {}
    for path, whole in files.items():
        cut = [beginning(base, document, config, args.chunks, args.questions) for document in whole]
        asked[path.rsplit("/", 1)[-1].split(".")[0]] = [document for document in cut if document]
    config = with_room(config, base, [document for documents in asked.values() for document in documents])
    with tqdm(total=sum(map(len, asked.values())) * (len(arms) + 1), unit="arm", file=sys.stderr, smoothing=0.05) as bar:

        def tell(arm: str) -> None:
            bar.set_description(arm)
            bar.update()

        found = {kind: measure(base, config, documents, arms, tell) for kind, documents in asked.items() if documents}
    if not found:
        raise UsageError(f"--data: no question is answered in the first {args.chunks} chunks; raise --chunks or give other documents")
    parts = {kind: entry(of, len(asked[kind])) for kind, of in found.items()}
    for kind, part in parts.items():
        common.show(table(part, f"{kind}: {part['documents']} documents"), to_stderr=args.json)
    whole_entry = entry(joined(list(found.values())), sum(part["documents"] for part in parts.values()))
    if len(parts) > 1:
        common.show(table(whole_entry, f"all: {whole_entry['documents']} documents"), to_stderr=args.json)
    kinds = parts if len(parts) > 1 else {kind: {"documents": part["documents"]} for kind, part in parts.items()}  # one is the whole
    settings = {"chunks": args.chunks, "protocol": make_protocol(base, config).id, "kinds": kinds}
    result = {"benchmark": "wake", **whole_entry, **settings, **common.environment(base)}
    rows = [row(kind, name, a) for kind, of in found.items() for name, arm in of.items() for a in arm.asked]
    common.finish("wake", result, {"config": to_dict(config), "outcomes": rows}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
