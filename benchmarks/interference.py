"""Interference: passages are slept on one after the other, all of them are asked after every sleep (the table of SEAL, arXiv 2506.10943).

    python -m benchmarks.interference --data FILE.jsonl [--passages 8] [--set fast_weights.segment_chunks=0] [--json]

A row is a sleep, a column a passage; the entries are recovery, the share of the way from nothing written to the passage in the prompt, in
answer NLL. `kept` is what the oldest passage has after the last sleep as a share of what it had right after its own. With
`segment_chunks=0` all passages go into one adapter.
"""

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table

from benchmarks.harness import common
from nrem.memory.errors import UsageError
from nrem.runtime.config import load_config
from nrem.runtime.measure.evaluate import ask, ask_memory
from nrem.runtime.measure.questions import read_documents
from nrem.runtime.parts import load_base, make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answerer


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("interference", "Sleep on passages one after the other, ask about all of them after every sleep.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--passages", type=int, default=8, metavar="N", help="the first N documents of the file (8)")
    args = parser.parse_args(arguments)
    documents = read_documents(args.data)[: args.passages]
    if len(documents) < 2:
        raise UsageError(f"--passages: got {len(documents)} of {args.data}, expected 2 or more")
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_evaluate.py")
    base = load_base(config)
    protocol = make_protocol(base, config)
    answerer = Answerer(base, protocol, config.answer)
    with common.stage("floor and context"), make_fast_weights(base, config, protocol).attached(base.model):
        floor = [fmean(o.nll for o in ask(answerer, d.questions)) for d in documents]
        context = [fmean(o.nll for o in ask(answerer, d.questions, d.text)) for d in documents]
    session, nll, f1 = Session(base=base, config=config), [], []
    for number, document in enumerate(documents, 1):
        with common.stage(f"sleep {number}"):
            session.stream(Document.from_text(document.text, document.id, document.title))
            outcomes = [ask_memory(session.wake, d.questions) for d in documents]
        nll.append([fmean(o.nll for o in part) for part in outcomes])
        f1.append([fmean(o.score.f1 for o in part) for part in outcomes])
    recovery = [[(f - x) / (f - c) if f > c else 0.0 for x, f, c in zip(row, floor, context, strict=True)] for row in nll]
    table = Table("after sleep", *(str(n) for n in range(1, len(documents) + 1)), title="recovery by passage")
    for number, row in enumerate(recovery, 1):
        table.add_row(str(number), *(f"[bold]{x:.2f}[/]" if i < number else f"[dim]{x:.2f}[/]" for i, x in enumerate(row)))
    common.show(table, to_stderr=args.json)
    own = [recovery[i][i] for i in range(len(documents))]
    result = {
        "benchmark": "interference",
        "data": args.data.rsplit("/", 1)[-1],
        "recovery": recovery,
        "f1": f1,
        "kept": recovery[-1][0] / own[0] if own[0] > 0 else None,
        "kept_mean": sum(recovery[-1]) / sum(own) if sum(own) > 0 else None,
        "segments": len(session.memory.segments),
    }
    common.finish("interference", result | common.environment(base), {"floor": floor, "context": context, "nll": nll}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
