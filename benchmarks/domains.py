"""Domains: what does a memory of one passage answer, kind of text by kind of text?

    python -m benchmarks.domains --data FILE.jsonl ... [--passages 24] [--passes 1,2] [--json]

Every chunk of `stream.chunk_tokens` about which something is asked is written into a memory of its own. `wrong` asks the memory of another
passage, `context` has the passage in the prompt with the protocol's reader, `floor` has neither. F1 and EM come from greedy
decoding. With `--set dreams.per_sentence=2` passes read what is dreamt about the passage, too. Intervals are resampled by document.
"""

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.harness import common
from benchmarks.harness.chunked import AskedChunk, Marks, ask, chunks_of, dreamt_about, make_bench
from nrem.consolidation.budget import Ledger
from nrem.consolidation.resample import Resampler, interval
from nrem.consolidation.train.bench import Bench
from nrem.runtime.commands.options import numbers
from nrem.runtime.config import load_config
from nrem.runtime.measure.questions import read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_dreamer, make_protocol

TOGETHER = 8
"""Memories that share a batch."""


def as_many_as(base: Base, path: str, chunk_tokens: int, count: int) -> list[AskedChunk]:
    """At most `count` chunks, spread over the documents of a file."""
    documents, found = read_documents(path), list[AskedChunk]()
    share = max(1, count // len(documents))
    for document in documents:
        found += islice(chunks_of(base, document, chunk_tokens, random.Random(0)), share)
        if len(found) >= count:
            break
    return found[:count]


def measure(bench: Bench, chunks: Sequence[AskedChunk], levels: Sequence[int]) -> dict[str, Marks]:
    """All arms over these chunks."""
    arms = {"floor": Marks(), "context": Marks()} | {f"{kind} {level}": Marks() for level in levels for kind in ("memory", "wrong")}
    ask(bench, [[chunk] for chunk in chunks], None, arms["floor"])
    ask(bench, [[chunk] for chunk in chunks], None, arms["context"], context=True)
    for start in range(0, len(chunks), TOGETHER):
        part = list(chunks[start : start + TOGETHER])
        other = [chunks[(start + i + len(chunks) // 2) % len(chunks)] for i in range(len(part))]
        for level in levels:
            fast = bench.write([[chunk.passage] for chunk in part], level)
            ask(bench, [[chunk] for chunk in part], fast, arms[f"memory {level}"])
            ask(bench, [[chunk] for chunk in other], fast, arms[f"wrong {level}"])
    return arms


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("domains", "F1 and EM of memories of single passages, by kind of text.")
    parser.add_argument("--data", required=True, nargs="+", help="JSON lines: documents with questions, one kind a file")
    parser.add_argument("--passages", type=int, default=24, metavar="N", help="at most so many of each file (24)")
    parser.add_argument("--passes", default="1,2", help="numbers of passes (1,2)")
    args = parser.parse_args(arguments)
    levels, config = numbers(args.passes, "--passes"), load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/consolidation/write/test_ridge.py", "tests/runtime/measure/test_scores.py")
    base = load_base(config)
    protocol = make_protocol(base, config)
    bench = make_bench(base, protocol)
    dreamer = make_dreamer(base, config, protocol, Ledger())
    table = Table("kind", "questions", *(f"{arm} F1/EM" for arm in ("floor", "wrong", *(f"{n} p" for n in levels), "context")), "recovery")
    found: dict[str, Any] = {}
    for path in args.data:
        kind = Path(path).name.split(".")[0]
        with common.stage(kind), torch.no_grad():
            chunks = as_many_as(base, path, config.stream.chunk_tokens, args.passages)
            arms = measure(bench, dreamt_about(dreamer, chunks) if dreamer else chunks, levels)
        found[kind] = entry(arms, levels)
        table.add_row(*row(kind, found[kind], levels))
    table.title = f"one passage a memory, {base.identity.name}, protocol {protocol.id}"
    common.show(table, to_stderr=args.json)
    result = {"benchmark": "domains", "protocol": protocol.id, "passes": list(levels), "kinds": found}
    common.finish("domains", result | common.environment(base), {}, args.out, args.json)


def entry(arms: dict[str, Marks], levels: Sequence[int]) -> dict[str, Any]:
    """The figures of one kind."""
    means = {name: marks.means() for name, marks in arms.items()}
    floor, context = means["floor"]["nll"], means["context"]["nll"]
    last = arms[f"memory {levels[-1]}"]
    around = interval(100 * Resampler(last.documents).means(last.f1, last.documents))
    recovery = {str(n): (floor - means[f"memory {n}"]["nll"]) / (floor - context) for n in levels}
    return {"questions": len(arms["floor"].nll), "arms": means, "recovery": recovery, "f1_interval": around}


def row(kind: str, figures: dict[str, Any], levels: Sequence[int]) -> list[str]:
    def pair(arm: str) -> str:
        return f"{figures['arms'][arm]['f1']:.0f} / {figures['arms'][arm]['em']:.0f}"

    names = ["floor", f"wrong {levels[0]}", *(f"memory {n}" for n in levels), "context"]
    return [kind, str(figures["questions"]), *(pair(name) for name in names), ", ".join(f"{r:.2f}" for r in figures["recovery"].values())]


if __name__ == "__main__":
    common.run(main)
