"""Routing: does choosing a way for each question beat every constant mixture of ways at equal FET?

    python -m benchmarks.routing --data FILE.jsonl [--data ...] [--limit N] [--questions M] [--ways direct,search,read] --work DIR [--json]

Each document is slept on once, and its questions are asked in every way; outcomes are kept in `--work`, and a run that was cut off goes on.
Each question is then routed by a router fitted to the other documents, at several prices (points of accuracy for 1,000 FET); the direct
answer, which it looks at, is part of its price. Constant mixtures lie on the upper hull of the ways. Intervals by document, or by question
where documents are fewer than eight.
"""

import hashlib
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table
from tqdm import tqdm

from benchmarks.closed_book import with_room
from benchmarks.harness import common
from nrem.memory.memory import Memory
from nrem.memory.saved.files import MEMORY
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.tune.examples import examples_of
from nrem.runtime.tune.exchange import exchange
from nrem.runtime.wake.features import FEATURES
from nrem.runtime.wake.router import FIRST, Example, Router
from nrem.runtime.wake.wake import Wake


def examples_about(base: Base, config: Config, documents: Sequence[QuestionedDocument], ways: Sequence[str], work: Path) -> list[Example]:
    """Every document slept on, its questions asked in every way; what lies in `work` is taken from there."""
    protocol, found = make_protocol(base, config), []
    for document in tqdm(documents, unit="document", file=sys.stderr):
        own = work / hashlib.sha256(f"{document.id} {protocol.sha256} {document.text}".encode()).hexdigest()[:16]
        if not (own / "memory" / MEMORY).exists():
            memory = Session(base=base, config=config).stream(Document.from_text(document.text, document.id, document.title))
            memory.save(own / "memory", force=True)
        wake = Wake(base, config, protocol, Memory.load(own / "memory"))
        asked = hashlib.sha256(repr([q.id for q in document.questions]).encode()).hexdigest()[:8]
        of_document = examples_of(wake, document.questions, ways, own / asked, document.group)  # with all ways that lie there
        wanted = dict.fromkeys((FIRST, *ways))
        found += [replace(e, right={w: e.right[w] for w in wanted}, fet={w: e.fet[w] for w in wanted}) for e in of_document]
    return found


def report(examples: Sequence[Example]) -> dict[str, Any]:
    """Every way alone, the best choice that hindsight could make, and the router at every price."""
    ways = list(examples[0].right)
    router = Router.fit(examples)
    return {
        "n": len(examples),
        "documents": len({e.group for e in examples}),
        "ways": {way: {"right": 100 * fmean(e.right[way] for e in examples), "fet": fmean(e.fet[way] for e in examples)} for way in ways},
        "hindsight": 100 * fmean(max(e.right.values()) for e in examples),
        "router": [row.to_dict() for row in exchange(examples)],
        "weights": {way: dict(zip(FEATURES, head.weights, strict=True)) for way, head in router.heads.items()},
    }


def routing_table(result: Mapping[str, Any], title: str) -> Table:
    out = Table(title=title, title_justify="left", caption_justify="left")
    ways = list(result["ways"])
    for column in ("points for 1,000 FET", "right", "FET/question", "best mixture", "gain, points", *ways):
        out.add_column(column, justify="right")
    for way, row in result["ways"].items():
        out.add_row(f"always {way}", f"{row['right']:.1f} %", f"{row['fet']:,.0f}", "", "", *("100 %" if w == way else "" for w in ways))
    out.add_section()
    for row in result["router"]:
        gain = f"{row['gain']['mean']:+.1f} [{row['gain']['low']:+.1f}, {row['gain']['high']:+.1f}]"
        shares = (f"{100 * row['shares'][way]:.0f} %" for way in ways)
        out.add_row(f"{row['price']:g}", f"{row['points']:.1f} %", f"{row['fet']:,.0f}", f"{row['mixture']:.1f} %", gain, *shares)
    out.caption = f"{result['n']} questions, {result['documents']} documents; with hindsight {result['hindsight']:.1f} % could be right"
    return out


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("routing", "Whether choosing a way for each question beats mixtures of ways.")
    parser.add_argument("--data", action="append", required=True, help="JSON lines: documents with questions; may be given again")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N documents of each file")
    parser.add_argument("--questions", type=int, default=0, metavar="M", help="only M questions of each document, drawn by lot")
    parser.add_argument("--characters", type=int, default=0, metavar="C", help="only so much of each document")
    parser.add_argument("--ways", default="direct,search,read", metavar="W,W", help="ways to choose among (direct,search,read)")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="where memories and outcomes are kept")
    args = parser.parse_args(arguments)
    config = load_config(args.config, args.set)
    documents = [cut(d, args.characters, args.questions) for path in args.data for d in read_documents(path)[: args.limit or None]]
    if not args.skip_tests:
        common.require_green("tests/runtime/wake/test_router.py", "tests/runtime/tune/test_calibrate.py")
    base = load_base(config)
    config = with_room(config, base, documents)
    examples = examples_about(base, config, documents, args.ways.split(","), args.work)
    names = "+".join(Path(path).name.split(".")[0] for path in args.data)
    result = {"benchmark": "routing", "data": names, **report(examples), **common.environment(base)}
    common.show(routing_table(result, f"{names}: a way for each question"), to_stderr=args.json)
    common.finish(f"routing-{names}", result, {"config": to_dict(config), "examples": [asdict(e) for e in examples]}, args.out, args.json)


def cut(document: QuestionedDocument, characters: int, questions: int) -> QuestionedDocument:
    """The beginning of a document, and some of the questions whose answers stand in it."""
    text = document.text[: characters or None]
    asked = [q for q in document.questions if not characters or any(a in text for a in q.answers)]
    drawn = random.Random(0).sample(asked, min(len(asked), questions or len(asked)))
    return replace(document, text=text, questions=tuple(drawn))


if __name__ == "__main__":
    common.run(main)
