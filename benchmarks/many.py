"""Many documents in one memory: what does it still answer about the oldest, what does it cost on disk, and what does one more cost?

    python -m benchmarks.many --data FILE.jsonl [--documents 50] [--at 1,5,10,25,50] [--asked 10] [--text OTHER.txt] [--json]

A memory is made of the first document and extended with the next ones, one by one, as `nrem extend` does. At each count of `--at` the first
questions of the oldest, of the newest and of all documents (of `--asked`, spread evenly, where there are more) are asked in two ways:
`direct`, from the adapter alone that a search chooses, and `search`, with the chunk that it finds in the prompt. `found` is the share of
questions for which the search chooses the right document's adapter. Perplexity on other text is that with the newest document's adapter
attached, relative to the bare base's. `--minutes` bounds the run: it ends with the count that was reached.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.harness import common
from benchmarks.locality import WINDOW, OtherText
from nrem.memory.errors import MissingFileError, UsageError
from nrem.memory.memory import Memory, Route
from nrem.runtime.commands.options import numbers
from nrem.runtime.config import Config, load_config
from nrem.runtime.measure.evaluate import ask_memory, summary
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol, unrelated_text
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.show.sizes import sizes
from nrem.runtime.wake.wake import Wake

WAYS = ("direct", "search")
AT = "1,5,10,25,50"


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("many", "Extend a memory with document after document: answers, bytes, seconds, other text.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--documents", type=int, default=50, metavar="N", help="the first N documents of the file (50)")
    parser.add_argument("--at", default=AT, metavar="N,N", help=f"after how many documents to ask ({AT}); the last is always asked")
    parser.add_argument("--asked", type=int, default=10, metavar="D", help="of all documents, so many are asked about (10)")
    parser.add_argument("--questions", type=int, default=2, metavar="Q", help="the first Q questions of each of them (2)")
    parser.add_argument("--text", type=Path, help="plain text that they are not about (one that comes with nrem)")
    parser.add_argument("--tokens", type=int, default=1024, metavar="T", help="how much of the text is read (1024)")
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="begin no further document after so long (0: no limit)")
    args = parser.parse_args(arguments)
    documents = read_documents(args.data)[: max(0, args.documents)]
    if not documents or args.questions < 1 or args.asked < 2:
        got = f"{len(documents)} of {args.data}, {args.questions} and {args.asked}"
        raise UsageError(f"--documents, --questions, --asked: got {got}, expected 1, 1 and 2 or more")
    if args.text is not None and not args.text.is_file():
        raise MissingFileError(f"--text {args.text}: no such file; give plain text")
    config, at = load_config(args.config, args.set), {*numbers(args.at, "--at"), len(documents)}
    if not args.skip_tests:
        common.require_green("tests/memory/saved/test_shared_segments.py", "tests/runtime/measure/test_evaluate.py")
    base = load_base(config)
    other = OtherText(base, args.text.read_text(encoding="utf-8") if args.text else unrelated_text(), args.tokens)
    about = {
        "benchmark": "many",
        "data": Path(args.data).name,
        "text": args.text.name if args.text else "unrelated.txt",
        "tokens_of_text": WINDOW * len(other.windows),
        "questions_per_document": args.questions,
        **common.environment(base),
    }
    out = args.out or common.RESULTS / "many.json"
    rows: list[dict[str, Any]] = []
    costs: list[dict[str, float]] = []
    for row, costs in measure(base, config, documents, at, Asked(args.asked, args.questions), other, 60 * args.minutes):
        rows.append(row)
        common.finish("many", about | {"rows": rows}, {"extends": costs}, out, as_json=False)
    common.show(table(rows), to_stderr=args.json)
    common.finish("many", about | {"rows": rows}, {"extends": costs}, out, args.json)


class Asked(NamedTuple):
    """What is asked of a memory."""

    documents: int
    """So many at most, the oldest and the newest among them."""
    questions: int
    """The first so many of each."""

    def of(self, count: int) -> list[int]:
        """Which of so many documents, spread evenly."""
        most = min(count, self.documents)
        return sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(most)})


def measure(
    base: Base,
    config: Config,
    documents: Sequence[QuestionedDocument],
    at: set[int],
    asked: Asked,
    other: OtherText,
    seconds: float,
) -> Iterator[tuple[dict[str, Any], list[dict[str, float]]]]:
    """A row for each count of documents that is asked about, and what each document so far has cost."""
    costs: list[dict[str, float]] = []
    memory: Memory | None = None
    begun = time.perf_counter()
    for count, document in enumerate(documents, 1):
        started, before = time.perf_counter(), sum(memory.record.fet.values()) if memory else 0.0
        opened = Document.from_text(document.text, document.id, document.title)
        with common.stage(f"document {count}"):
            memory = consolidate(opened, base=base, config=config) if memory is None else extend(memory, opened, base=base)
        costs.append({"seconds": time.perf_counter() - started, "fet": sum(memory.record.fet.values()) - before})
        late = bool(seconds) and time.perf_counter() - begun > seconds
        if count in at or late:
            with common.stage(f"questions about {count}"):
                row = look(base, config, memory, documents[:count], asked, other)
            yield row | {"extend": costs[-1]}, costs
        if late:
            return


def look(
    base: Base, config: Config, memory: Memory, documents: Sequence[QuestionedDocument], wanted: Asked, other: OtherText
) -> dict[str, Any]:
    """All that is measured of a memory of these documents."""
    wake = Wake(base, config, make_protocol(base, config, memory.record), memory)
    asked = [(number, question) for number in wanted.of(len(documents)) for question in documents[number].questions[: wanted.questions]]
    segments = {c.document: c.segment for c in memory.record.chunks}
    found = [memory.route(q.question).segment == segments[documents[number].id] for number, q in asked]
    ways: dict[str, Any] = {}
    for way in WAYS:
        started = time.perf_counter()
        outcomes = ask_memory(wake, [question for _, question in asked], way)
        took = (time.perf_counter() - started) / len(asked)
        of = {"oldest": {0}, "newest": {len(documents) - 1}, "all": set(range(len(documents)))}
        parts = {name: [o for o, (number, _) in zip(outcomes, asked, strict=True) if number in who] for name, who in of.items()}
        ways[way] = {name: summary(part) for name, part in parts.items() if part} | {"seconds_with_nll": took}
    newest = Route(memory.record.chunks[-1].segment)
    with tempfile.TemporaryDirectory(prefix="nrem-many-") as folder:
        started = time.perf_counter()
        saved = memory.save(Path(folder) / "memory")
        saving = time.perf_counter() - started
        started = time.perf_counter()
        Memory.load(saved)
        loading = time.perf_counter() - started
        taken = sizes(memory.record, saved)
    return {
        "documents": len(documents),
        "tokens": memory.record.num_tokens,
        "chunks": len(memory.record.chunks),
        "adapters": memory.record.num_segments,
        "questions": len(asked),
        "found": fmean(found),
        "ways": ways,
        "perplexity": other.drift(memory.attached(base.model, newest))._asdict(),
        "seconds_to_save": saving,
        "seconds_to_load": loading,
        **{key: taken[key] for key in ("bytes", "adapter_bytes", "adapter_bytes_per_token", "share_of_cache", "bytes_by_part")},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each count of documents."""
    out = Table(title="answer NLL and F1 (%): direct | with the chunk that is found in the prompt", title_justify="left")
    for column in (
        "documents",
        "oldest",
        "newest",
        "all",
        "found",
        "other text",
        "MB",
        "bytes a token",
        "s, FET of the last",
        "s a question",
    ):
        out.add_column(column, justify="right")
    for row in rows:
        marks = [
            " | ".join(
                f"{row['ways'][way][part]['nll']:.2f} ({100 * row['ways'][way][part]['f1']:.0f})" if part in row["ways"][way] else "-"
                for way in WAYS
            )
            for part in ("oldest", "newest", "all")
        ]
        last, seconds = row["extend"], [row["ways"][way]["all"]["seconds"] for way in WAYS]
        out.add_row(
            str(row["documents"]),
            *marks,
            f"{100 * row['found']:.0f} %",
            f"{row['perplexity']['ratio']:.3f}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['bytes'] / row['tokens']:,.0f}",
            f"{last['seconds']:.1f}, {last['fet']:,.0f}",
            " | ".join(f"{s:.2f}" for s in seconds),
        )
    return out


if __name__ == "__main__":
    common.run(main)
