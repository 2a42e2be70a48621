"""Capacity: how many chunks does one adapter hold? Recovery against the number of chunks written into it, for four ways to write them.

    python -m benchmarks.capacity --data FILE.jsonl [--chunks 16] [--sizes 1,2,4,8,16] [--passes N] [--json]

`together` writes all chunks in one batch; `sequential` one after the other, each with the fast weights of the earlier ones active
(statistics add up, so nothing is overwritten); `replay` the same, and rereads every earlier chunk once after each; `routed` writes every
chunk into a segment of its own and sends a question to the one that a search over all `--chunks` finds. Texts are the documents of the
file, or the chunks of long ones, taken in order. Needs a trained protocol: the gradient rule has no statistics that add up.
"""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rich.table import Table
from torch import Tensor

from benchmarks import common
from nrem.consolidation.episode import Bench
from nrem.consolidation.split_model import SplitModel
from nrem.consolidation.training_data import Passage, QuestionAnswer
from nrem.memory.chunk import Chunk, cut_chunks
from nrem.memory.errors import UsageError
from nrem.memory.layers import lowest_layer
from nrem.memory.statistics import total
from nrem.memory.text import EvictedText
from nrem.runtime.config import load_config
from nrem.runtime.models import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.questions import QuestionedDocument, read_documents

WAYS = ("together", "sequential", "replay", "routed")
QUESTIONS = 4
"""At most so many questions a chunk, drawn once."""


class Asked(NamedTuple):
    """A chunk's text and what is asked about it."""

    passage: Passage
    questions: list[QuestionAnswer]


def find_chunks(base: Base, documents: Sequence[QuestionedDocument], chunk_tokens: int, count: int) -> list[Asked]:
    """The first `count` chunks about which something is asked: a question belongs to the only chunk of its document that has the answer."""
    rng, found = random.Random(0), []
    for document in documents:
        chunks = cut_chunks(
            [document.text], count_tokens=base.count_tokens, max_tokens=chunk_tokens, document=document.id, title=document.title
        )
        texts = [chunk.text for chunk in chunks]
        for text in texts:
            mine = [
                QuestionAnswer(q.question, q.answers[0])
                for q in document.questions
                if q.answers[0] in text and (len(texts) == 1 or sum(q.answers[0] in t for t in texts) == 1)
            ]
            if mine:
                found.append(Asked(Passage(document.title, text, tuple(mine)), rng.sample(mine, min(QUESTIONS, len(mine)))))
            if len(found) == count:
                return found
    raise UsageError(f"--chunks: the file has {len(found)} chunks with questions, got {count}; lower it, or give more documents")


class Capacity:
    """Writes groups of chunks in every way and asks about them."""

    def __init__(self, bench: Bench, chunks: Sequence[Asked], passes: int) -> None:
        self.bench, self.chunks, self.passes = bench, chunks, passes

    def nll(self, asked: Sequence[Asked], fast: dict[str, Tensor] | None, *, context: bool = False) -> list[float]:
        """Answer NLL of all questions about these chunks."""
        out: list[float] = []
        for chunk in asked:
            contexts = [chunk.passage] * len(chunk.questions) if context else None
            out += self.bench.answer_nll(chunk.questions, fast, contexts).tolist()
        return out

    def together(self, group: Sequence[Asked]) -> list[float]:
        return self.nll(group, self.bench.write([[a.passage for a in group]], self.passes))

    def sequential(self, group: Sequence[Asked], *, replay: bool) -> list[float]:
        """One chunk after the other; a chunk's statistics of a new pass take the place of its last ones."""
        parameters, held = self.bench.parameters, {}
        fast: dict[str, Tensor] | None = None

        def read(index: int) -> dict[str, Tensor]:
            found = self.bench.statistics([group[index].passage], fast)
            held[index] = parameters.refined(found, fast) if fast is not None and index in held else found
            return parameters.solve({name: total([h[name] for h in held.values()]) for name in parameters.names})

        for new in range(len(group)):
            for _ in range(self.passes):
                fast = read(new)
            for earlier in range(new if replay else 0):
                fast = read(earlier)
        return self.nll(group, fast)

    def routed(self) -> tuple[list[float], float]:
        """Every chunk in a segment of its own; answer NLL with the segment that search finds, and how often it is the right one."""
        with tempfile.TemporaryDirectory() as folder:
            text = EvictedText(Path(folder))
            for index, asked in enumerate(self.chunks):
                body = asked.passage.text
                text.append(Chunk(document="", title="", index=index, start=0, end=len(body), text=body, num_tokens=1))
            segments = [self.bench.write([[asked.passage]], self.passes) for asked in self.chunks]
            out, right = [], []
            for index, asked in enumerate(self.chunks):
                for question in asked.questions:
                    hits = text.search(question.question, 1)
                    chosen = hits[0].chunk.index if hits else 0
                    right.append(chosen == index)
                    out += self.bench.answer_nll([question], segments[chosen]).tolist()
        return out, fmean(right)


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("capacity", "Recovery against the number of chunks that one adapter holds.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--chunks", type=int, default=16, metavar="N", help="chunks in all (16)")
    parser.add_argument("--sizes", default="1,2,4,8,16", help="chunks written into one adapter (1,2,4,8,16)")
    parser.add_argument("--passes", type=int, default=0, metavar="N", help="passes of every chunk (0: what the protocol was trained for)")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"some of {','.join(WAYS)}")
    args = parser.parse_args(arguments)
    sizes, ways = [int(size) for size in args.sizes.split(",")], args.ways.split(",")
    if args.chunks < 1 or any(size < 1 or args.chunks % size for size in sizes):
        raise UsageError(f"--sizes: got {args.sizes} for {args.chunks} chunks, expected divisors of --chunks")
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/test_ridge.py")
    base = load_base(config)
    protocol = make_protocol(base, config)
    if protocol.ridge is None:
        raise UsageError(f"capacity: {base.identity.name} has no trained protocol; train one, and name it with --set protocol.name=FOLDER")
    chunks = find_chunks(base, read_documents(args.data), config.stream.chunk_tokens, args.chunks)
    bench = Bench(SplitModel(base.model, lowest_layer(base.model, protocol.ridge.names)), protocol, protocol.ridge)
    capacity = Capacity(bench, chunks, args.passes or protocol.trained_passes)
    with common.stage("floor and context"):
        floor, context = fmean(capacity.nll(chunks, None)), fmean(capacity.nll(chunks, None, context=True))

    def row(nlls: Sequence[float]) -> dict[str, float]:
        return {"nll": fmean(nlls), "recovery": (floor - fmean(nlls)) / (floor - context)}

    curve: dict[str, dict[str, dict[str, float]]] = {way: {} for way in ways}
    for size in sizes:
        groups = [chunks[i : i + size] for i in range(0, len(chunks), size)]
        for way in ways:
            if way == "routed":
                continue
            with common.stage(f"{way} {size}"):
                if way == "together":
                    curve[way][str(size)] = row([x for g in groups for x in capacity.together(g)])
                else:
                    curve[way][str(size)] = row([x for g in groups for x in capacity.sequential(g, replay=way == "replay")])
    if "routed" in ways:
        with common.stage("routed"):
            nlls, right = capacity.routed()
        curve["routed"]["1"] = row(nlls) | {"routed_right": right}
    table = Table("way", "chunks", "answer NLL", "recovery", title=f"{len(chunks)} chunks; floor {floor:.2f}, in the prompt {context:.2f}")
    for way, by_size in curve.items():
        for size_name, figures in by_size.items():
            table.add_row(way, size_name, f"{figures['nll']:.2f}", f"{figures['recovery']:.2f}")
    common.show(table, to_stderr=args.json)
    name = args.data.rsplit("/", 1)[-1]
    result = {"benchmark": "capacity", "data": name, "floor": floor, "context": context, "curve": curve, "passes": capacity.passes}
    common.finish(f"capacity-{name.split('.')[0]}", result | common.environment(base), {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
