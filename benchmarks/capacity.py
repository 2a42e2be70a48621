"""Capacity: how many chunks does one adapter hold, and what do passes mend?

    python -m benchmarks.capacity --data FILE.jsonl [--chunks 16] [--sizes 1,4,16] [--passes 1,2,4,8] [--ranks 64,256] [--dreams 2]

So many neighbouring chunks of a document are written together into one adapter, which is asked about all of them; no search takes part.
`floor` has nothing written, `context` the chunk in the prompt. With `--documents D` the chunks are those of the first D documents, so many
of each, each document by itself; without, texts are taken in order. `--ranks` cuts what the largest size wrote to a saved adapter's rank.
`--dreams` writes and asks everything a second time, with what the model asks itself about each chunk beside it.
Intervals are resampled by document.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.harness import common
from benchmarks.harness.chunked import AskedChunk, Marks, ask, dreamt_about, find_chunks, make_bench
from nrem.consolidation.budget import Ledger
from nrem.consolidation.resample import Resampler, interval
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.write.ridge_site import Ridge, dense
from nrem.memory.errors import UsageError
from nrem.memory.weights.low_rank import cut
from nrem.runtime.commands.options import numbers
from nrem.runtime.config import load_config
from nrem.runtime.measure.questions import read_documents
from nrem.runtime.parts import load_base, make_dreamer, make_protocol


def together(bench: Bench, worlds: Sequence[Sequence[AskedChunk]], size: int, passes: int, marks: Marks, *, decode: bool) -> None:
    """Groups of so many neighbours, each written into an adapter of its own, and asked."""
    for world in worlds:
        for start in range(0, len(world), size):
            part = world[start : start + size]
            ask(bench, [part], bench.write([[chunk.passage for chunk in part]], passes), marks, decode=decode)


def curve_of(
    bench: Bench,
    worlds: Sequence[Sequence[AskedChunk]],
    sizes: Sequence[int],
    levels: Sequence[int],
    floor: Marks,
    context: Marks,
    *,
    decode: bool,
    name: str = "",
) -> dict[str, dict[str, Any]]:
    """Figures by size and by number of passes."""
    curve: dict[str, dict[str, Any]] = {}
    for size in sizes:
        for level in levels:
            with common.stage(f"{size} together, {level} passes{name}"):
                together(bench, worlds, size, level, marks := Marks(), decode=decode)
            curve.setdefault(str(size), {})[str(level)] = entry(marks, floor, context)
    return curve


def cut_to(bench: Bench, worlds: Sequence[Sequence[AskedChunk]], ranks: Sequence[int], passes: int) -> dict[int, Marks]:
    """All chunks of a world in one adapter, cut to each rank as a saved memory's is."""
    assert isinstance(bench.parameters, Ridge)
    out = {rank: Marks() for rank in ranks}
    for world in worlds:
        reading = bench.reading([chunk.passage for chunk in world], 1)
        seen = reading.observe(None)
        written = bench.parameters.write(reading, passes)
        where = {}
        for name, site in bench.parameters.items():
            x, strength = seen.inputs[name].float().flatten(0, 1), site.strength(seen.seen).flatten()
            where[name] = (strength[:, None] * x).T @ x + site.prior()
        for rank in ranks:
            fast: dict[str, Any] = {}
            for name, change in written.items():
                factors = cut(dense(change)[0], where[name], rank)
                fast[name] = (factors.B @ factors.A)[None]
            ask(bench, [world], fast, out[rank], decode=False)
    return out


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("capacity", "Recovery against the number of chunks that one adapter holds, and passes.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--chunks", type=int, default=16, metavar="N", help="chunks in all (16)")
    parser.add_argument("--documents", type=int, default=0, metavar="D", help="so many chunks of each of the first D documents (0: in all)")
    parser.add_argument("--sizes", default="1,4,16", help="chunks written into one adapter (1,4,16)")
    parser.add_argument("--passes", default="1,2", help="numbers of passes (1,2)")
    parser.add_argument("--ranks", default="", help="ranks to cut the largest size to, after the last number of passes (none)")
    parser.add_argument("--dreams", type=int, default=0, metavar="N", help="a second time, with N questions dreamt about each sentence (0)")
    parser.add_argument("--picture", type=Path, help="where to draw recovery against chunks")
    parser.add_argument("--nll-only", action="store_true", help="do not decode answers: no F1 and EM")
    args = parser.parse_args(arguments)
    sizes, levels = numbers(args.sizes, "--sizes"), numbers(args.passes, "--passes")
    if args.chunks < 1 or any(size < 1 or args.chunks % size for size in sizes):
        raise UsageError(f"--sizes: got {args.sizes} for {args.chunks} chunks, expected divisors of --chunks")
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/consolidation/write/test_ridge.py", "tests/consolidation/write/test_keyed.py")
    base = load_base(config)
    protocol = make_protocol(base, config)
    bench = make_bench(base, protocol)
    documents = read_documents(args.data)
    each = [[document] for document in documents[: args.documents]] or [documents]
    worlds = [find_chunks(base, part, config.stream.chunk_tokens, args.chunks) for part in each]
    floor, context = Marks(), Marks()
    with common.stage("floor and context"):
        for world in worlds:
            ask(bench, [world], None, floor, decode=not args.nll_only)
            ask(bench, [world], None, context, context=True, decode=not args.nll_only)
    ledger = Ledger()
    with torch.no_grad():
        curve = curve_of(bench, worlds, sizes, levels, floor, context, decode=not args.nll_only)
        dreamt: dict[str, Any] = {}
        if args.dreams:
            with common.stage("dreams"):
                asking = replace(config, dreams=replace(config.dreams, per_sentence=args.dreams))
                dreaming = [dreamt_about(make_dreamer(base, asking, protocol, ledger), world) for world in worlds]
            dreamt = {"curve": curve_of(bench, dreaming, sizes, levels, floor, context, decode=not args.nll_only, name=", dreams")}
            dreamt |= {"questions": sum(len(c.passage.dreamt) for world in dreaming for c in world), "fet": ledger.total_fet}
        ranks = numbers(args.ranks, "--ranks") if args.ranks else ()
        by_rank = {str(r): entry(m, floor, context) for r, m in cut_to(bench, worlds, ranks, levels[-1]).items()} if ranks else {}
    table = Table("chunks", "passes", "F1 / EM", "answer NLL", "recovery", title=title(worlds, args.chunks, floor, context, protocol.id))
    for size_name, by_level in curve.items():
        for level_name, figures in by_level.items():
            table.add_row(size_name, level_name, *cells(figures))
    for size_name, by_level in dreamt.get("curve", {}).items():
        for level_name, figures in by_level.items():
            table.add_row(f"{size_name}, dreams", level_name, *cells(figures))
    for rank_name, figures in by_rank.items():
        table.add_row(f"{args.chunks}, rank {rank_name}", str(levels[-1]), *cells(figures))
    common.show(table, to_stderr=args.json)
    if args.picture:
        draw(curve, args.picture)
    name = args.data.rsplit("/", 1)[-1]
    result = {"benchmark": "capacity", "data": name, "protocol": protocol.id, "floor": floor.means(), "context": context.means()}
    result |= {"curve": curve, "by_rank": by_rank} | ({"dreams": dreamt} if dreamt else {})
    common.finish(f"capacity-{name.split('.')[0]}", result | common.environment(base), {}, args.out, args.json)


def draw(curve: Mapping[str, Mapping[str, Any]], picture: Path) -> None:
    """A line for each number of passes."""
    from matplotlib.figure import Figure

    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    sizes = list(curve)
    for level in next(iter(curve.values())):
        recovery = [curve[size][level]["recovery"] for size in sizes]
        axes.plot(range(len(sizes)), recovery, "o-", label=f"{level} pass{'es' if level != '1' else ''}")
    axes.set_xticks(range(len(sizes)), sizes)
    axes.set(xlabel="chunks written into one adapter", ylabel="recovery: 0 nothing written, 1 the chunk in the prompt", ylim=(0, 1))
    axes.legend()
    figure.savefig(picture, dpi=150)


def entry(marks: Marks, floor: Marks, context: Marks) -> dict[str, Any]:
    """Means, and recovery with its interval over documents; questions of all three are the same, in the same order."""
    means = marks.means()
    resampler = Resampler(floor.documents)
    nll = {name: resampler.means(m.nll, m.documents) for name, m in (("memory", marks), ("floor", floor), ("context", context))}
    gap = floor.means()["nll"] - context.means()["nll"]
    around = interval((nll["floor"] - nll["memory"]) / (nll["floor"] - nll["context"]))
    return means | {"recovery": (floor.means()["nll"] - means["nll"]) / gap, "interval": around}


def cells(figures: Mapping[str, Any]) -> list[str]:
    low, high = figures["interval"] or (0.0, 0.0)
    return [decoded(figures), f"{figures['nll']:.2f}", f"{figures['recovery']:.2f} [{low:.2f}, {high:.2f}]"]


def decoded(figures: Mapping[str, Any]) -> str:
    """F1 and EM, or a dash where nothing was decoded."""
    return "-" if figures["f1"] is None else f"{figures['f1']:.0f} / {figures['em']:.0f}"


def title(worlds: Sequence[Any], chunks: int, floor: Marks, context: Marks, protocol: str) -> str:
    f, c = floor.means(), context.means()
    return (
        f"{len(worlds)} x {chunks} chunks, protocol {protocol}; floor NLL {f['nll']:.2f}, F1 / EM {decoded(f)}; "
        f"in the prompt NLL {c['nll']:.2f}, F1 / EM {decoded(c)}"
    )


if __name__ == "__main__":
    common.run(main)
