"""Search: for how many questions does it find the chunk that holds the answer first, and among the first two?

    python -m benchmarks.search --data FILE.jsonl ... [--documents N] [--chunks N] [--json]

Whole documents are cut as a sleep cuts them and searched as `ask` searches a memory; no model reads anything. Asked is what is answered in
exactly one chunk of a document that has several. Intervals are by document.
"""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.harness import common
from benchmarks.harness.chunked import only_holder
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import cut_chunks
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.config import load_config
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base

MOST = 2
"""Hits that are looked at."""


class Found(NamedTuple):
    """Of one question, the place of the right chunk among the hits, from 0; `MOST` where it is not there."""

    document: str
    place: int


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("search", "Whether search finds the chunk that holds the answer.")
    parser.add_argument("--data", required=True, nargs="+", help="JSON lines: documents with questions, one kind a file")
    parser.add_argument("--documents", type=int, default=100, metavar="N", help="the first N documents of each file (100)")
    parser.add_argument("--chunks", type=int, default=1000, metavar="N", help="a document is cut behind N chunks (1000)")
    args = parser.parse_args(arguments)
    if args.documents < 1 or args.chunks < 2:
        raise UsageError(f"--documents, --chunks: got {args.documents}, {args.chunks}, expected 1 or more, and 2 or more")
    config, files = load_config(args.config, args.set), {path: read_documents(path)[: args.documents] for path in args.data}
    base = load_base(config)
    found = {
        path.rsplit("/", 1)[-1].split(".")[0]: [
            f for document in of for f in search(base, document, config.stream.chunk_tokens, args.chunks)
        ]
        for path, of in files.items()
    }
    kinds = {kind: entry(of) for kind, of in found.items() if of}
    if not kinds:
        raise UsageError(
            f"--data: no question is answered in one chunk of several; give longer documents than {config.stream.chunk_tokens}"
        )
    table = Table("kind", "documents", "questions", "first", "first two", title="the right chunk is found, %")
    for kind, figures in kinds.items():
        low, high = figures["interval"]
        first = f"{figures['first']:.0f} [{low:.0f}, {high:.0f}]"
        table.add_row(kind, str(figures["documents"]), str(figures["n"]), first, f"{figures['first_two']:.0f}")
    common.show(table, to_stderr=args.json)
    result = {"benchmark": "search", "kinds": kinds, "chunks": args.chunks, "chunk_tokens": config.stream.chunk_tokens}
    common.finish("search", result | common.environment(), {}, args.out, args.json)


def search(base: Base, document: QuestionedDocument, chunk_tokens: int, most_chunks: int) -> Iterator[Found]:
    """What is found for each question about a document."""
    cut = cut_chunks([document.text], count_tokens=base.count_tokens, max_tokens=chunk_tokens, document=document.id, title=document.title)
    with tempfile.TemporaryDirectory(prefix="nrem-search-") as scratch:
        text = EvictedText(Path(scratch))
        chunks = list(islice(cut, most_chunks))
        for chunk in chunks:
            text.append(chunk)
        for question in document.questions:
            right = only_holder(question.answers[0], [chunk.text for chunk in chunks])
            if len(chunks) > 1 and right is not None:
                hits = [hit.chunk.index for hit in text.search(question.question, MOST)]
                yield Found(document.id, hits.index(right) if right in hits else MOST)


def entry(found: Sequence[Found]) -> dict[str, Any]:
    """Of the questions of one kind, in percent."""
    documents, first = [f.document for f in found], [100.0 * (f.place == 0) for f in found]
    return {
        "n": len(found),
        "documents": len(set(documents)),
        "first": sum(first) / len(found),
        "interval": interval(Resampler(documents).means(first, documents)),
        "first_two": 100 * sum(f.place < MOST for f in found) / len(found),
    }


if __name__ == "__main__":
    common.run(main)
