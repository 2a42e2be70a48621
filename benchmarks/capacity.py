"""Capacity: how many chunks does one adapter hold, and how many should answer a question?

    python -m benchmarks.capacity --data FILE.jsonl [--chunks 16] [--sizes 1,2,4,8,16] [--found 1,2,8] [--passes N] [--json]

`together` writes so many chunks into one adapter and asks it about all of them. `found` asks, for every question, the adapter of at most so
many of the chunks which a search over all `--chunks` finds, each counted by how well it matches (`EvictedText.shares`). Writing one after
the other is no third way: what a chunk leaves depends on none of the others, so the sum is the same in any order (tests/test_rebuild.py).
With `--documents D` the chunks are those of the first D documents, so many of each, each document by itself; without, texts are taken in
order. Needs a trained protocol: the gradient rule has no statistics that add up.
"""

import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
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
from nrem.runtime.cli_options import numbers
from nrem.runtime.config import load_config
from nrem.runtime.models import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.questions import QuestionedDocument, read_documents

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
    raise UsageError(f"--chunks: there are {len(found)} chunks with questions, got {count}; lower it, or give other documents")


class Capacity:
    """Writes every chunk once, and asks about it under sums of what they left."""

    def __init__(self, bench: Bench, chunks: Sequence[Asked], passes: int) -> None:
        assert bench.protocol.keyed is not None
        self.bench, self.chunks, self.keyed = bench, chunks, bench.protocol.keyed
        self.left = [self.keyed.left(bench.reading([asked.passage], 1), passes) for asked in chunks]

    def nll(self, asked: Sequence[Asked], fast: dict[str, Tensor] | None, *, context: bool = False) -> list[float]:
        """Answer NLL of all questions about these chunks."""
        out: list[float] = []
        for chunk in asked:
            contexts = [chunk.passage] * len(chunk.questions) if context else None
            out += self.bench.answer_nll(chunk.questions, fast, contexts).tolist()
        return out

    def together(self, size: int) -> list[float]:
        """Groups of so many neighbours, each in an adapter of its own."""
        groups = [range(start, start + size) for start in range(0, len(self.chunks), size)]
        return [x for group in groups for x in self.nll([self.chunks[i] for i in group], self._written(dict.fromkeys(group, 1.0)))]

    def found(self, count: int) -> list[tuple[float, bool]]:
        """Every question asked of the chunks that search finds; and whether the right one is among them."""
        with tempfile.TemporaryDirectory() as folder:
            text = EvictedText(Path(folder))
            for index, asked in enumerate(self.chunks):
                body = asked.passage.text
                text.append(Chunk(document="", title="", index=index, start=0, end=len(body), text=body, num_tokens=1))
            out = []
            for index, asked in enumerate(self.chunks):
                for question in asked.questions:
                    shares = text.shares(question.question, count) or dict.fromkeys(range(len(self.chunks)), 1.0)
                    out.append((float(self.bench.answer_nll([question], self._written(shares))), index in shares))
        return out

    def _written(self, shares: Mapping[int, float]) -> dict[str, Tensor]:
        """The fast weights of these chunks, each counted by its share."""
        held = [(self.left[index], share) for index, share in shares.items()]
        return self.keyed.solve({name: total(h[name].scaled(share) for h, share in held) for name in self.keyed.names})


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("capacity", "Recovery against the number of chunks that one adapter holds.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--chunks", type=int, default=16, metavar="N", help="chunks in all (16)")
    parser.add_argument("--documents", type=int, default=0, metavar="D", help="so many chunks of each of the first D documents (0: in all)")
    parser.add_argument("--sizes", default="1,2,4,8,16", help="chunks written into one adapter (1,2,4,8,16)")
    parser.add_argument("--passes", type=int, default=0, metavar="N", help="passes of every chunk (0: what the protocol was trained for)")
    parser.add_argument("--found", default="1,2,8", help="most chunks that a question is answered from (1,2,8)")
    args = parser.parse_args(arguments)
    sizes, counts = (numbers(args.sizes, "--sizes"), numbers(args.found, "--found"))
    if args.chunks < 1 or any(size < 1 or args.chunks % size for size in sizes):
        raise UsageError(f"--sizes: got {args.sizes} for {args.chunks} chunks, expected divisors of --chunks")
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/test_keyed.py")
    base = load_base(config)
    protocol = make_protocol(base, config)
    if protocol.keyed is None:
        raise UsageError(f"capacity: {base.identity.name} has no trained protocol; train one, and name it with --set protocol.name=FOLDER")
    documents = read_documents(args.data)
    each = [[document] for document in documents[: args.documents]] or [documents]
    bench = Bench(SplitModel(base.model, lowest_layer(base.model, protocol.keyed.names)), protocol, protocol.keyed)
    passes = args.passes or protocol.trained_passes
    with common.stage("writing"), torch.no_grad():
        worlds = [Capacity(bench, find_chunks(base, part, config.stream.chunk_tokens, args.chunks), passes) for part in each]
    with common.stage("floor and context"), torch.no_grad():
        floor = fmean(x for world in worlds for x in world.nll(world.chunks, None))
        context = fmean(x for world in worlds for x in world.nll(world.chunks, None, context=True))

    def row(nlls: Sequence[float]) -> dict[str, float]:
        return {"nll": fmean(nlls), "recovery": (floor - fmean(nlls)) / (floor - context)}

    curve: dict[str, dict[str, dict[str, float]]] = {"together": {}, "found": {}}
    with torch.no_grad():
        for size in sizes:
            with common.stage(f"together {size}"):
                curve["together"][str(size)] = row([x for world in worlds for x in world.together(size)])
        for count in counts:
            with common.stage(f"found {count}"):
                asked = [one for world in worlds for one in world.found(count)]
                curve["found"][str(count)] = row([nll for nll, _ in asked]) | {"right_among_them": fmean(right for _, right in asked)}
    table = Table(
        "way",
        "chunks",
        "answer NLL",
        "recovery",
        "right one found",
        title=f"{len(worlds)} x {args.chunks} chunks, passes {passes}; floor {floor:.2f}, in the prompt {context:.2f}",
    )
    for way, by_size in curve.items():
        for size_name, figures in by_size.items():
            table.add_row(
                way, size_name, f"{figures['nll']:.2f}", f"{figures['recovery']:.2f}", f"{figures.get('right_among_them', 1):.2f}"
            )
    common.show(table, to_stderr=args.json)
    name = args.data.rsplit("/", 1)[-1]
    result = {"benchmark": "capacity", "data": name, "floor": floor, "context": context, "curve": curve, "passes": passes}
    common.finish(f"capacity-{name.split('.')[0]}", result | common.environment(base), {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
