"""Closed book: sleep on each document of a file, ask its questions without it, beside the arms that say what the score is worth.

    python -m benchmarks.closed_book --data FILE.jsonl [--limit N] [--passes 0,1,2,4] [--arms floor,wrong,raw,memory,context] [--json]

`wrong` asks the same questions of the next document's memory. `raw` is the control that writes the text itself, by gradient steps on its
next tokens with the untrained protocol; where that is not the measured protocol, `raw_floor` is what its words get from the bare base.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from benchmarks.harness import common
from benchmarks.harness.arms import ARMS, measure
from benchmarks.harness.report import label_table, outcomes, report, table
from nrem.memory.errors import UsageError
from nrem.runtime.commands.options import numbers
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.evaluate import check_arms
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol

LEVEL_KEYS = ("arms", "recovery", "recovery_of_best_floor", "intervals", "fet", "seconds", "passes", "kept")
"""What is reported for every level; the whole report is the last level's."""

MOST_TOKENS = 64


def parse_levels(text: str | None) -> list[int | None]:
    """`4` or `0,1,2,4`; None for what the configuration says."""
    return [None] if text is None else list(numbers(text, "--passes"))


def with_room(config: Config, base: Base, documents: Sequence[QuestionedDocument]) -> Config:
    """Answers may be as long as the longest accepted one: a value of 36 characters cannot be right in 24 tokens."""
    longest = max(base.count_tokens(f" {answer}") for d in documents for q in d.questions for answer in q.answers)
    tokens = max(config.answer.max_new_tokens, min(longest + 4, MOST_TOKENS))
    return replace(config, answer=replace(config.answer, max_new_tokens=tokens))


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("closed_book", "Sleep on each document, ask without it, beside the arms of comparison.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N documents")
    parser.add_argument("--passes", metavar="N[,N...]", help="passes for every chunk; several levels are reported one by one")
    parser.add_argument("--arms", default=",".join(ARMS), help=f"some of {','.join(ARMS)}")
    parser.add_argument("--protocol", help="short for --set protocol.name=...")
    parser.add_argument("--raw-passes", type=int, default=8, metavar="N", help="gradient passes of the raw arm (8)")
    args = parser.parse_args(arguments)
    levels, arms = parse_levels(args.passes), tuple(args.arms.split(","))
    check_arms(arms, ARMS)
    if args.limit < 0 or args.raw_passes < 1:
        raise UsageError(f"--limit and --raw-passes: got {args.limit} and {args.raw_passes}, expected 0 or more and 1 or more")
    config = load_config(args.config, [*args.set, *([f"protocol.name={args.protocol}"] if args.protocol else [])])
    documents = read_documents(args.data)[: args.limit or None]
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_scores.py", "tests/runtime/measure/test_evaluate.py")
    base = load_base(config)
    config = with_room(config, base, documents)
    rounds = sum(arm in arms for arm in ("raw", "context")) + len(levels) * bool({"memory", "wrong"} & set(arms))
    with tqdm(total=rounds * len(documents), unit="document", file=sys.stderr, smoothing=0.05) as bar:

        def progress(arm: str) -> None:
            bar.set_description(arm)
            bar.update(arm != "floor")

        found = measure(base, documents, config, levels=levels, arms=arms, raw_passes=args.raw_passes, progress=progress)
    reports = {level: report(of) for level, of in found.items()}
    name, last_level = args.data.rsplit("/", 1)[-1], next(reversed(reports))
    for level, part in reports.items():
        common.show(table(part, f"{name}: {len(documents)} documents, passes {level}"), to_stderr=args.json)
    if (labels := label_table(reports[last_level])) is not None:
        common.show(labels, to_stderr=args.json)
    result = reports[last_level] | {
        "benchmark": "closed_book",
        "data": name,
        "documents": len(documents),
        "questions": sum(len(d.questions) for d in documents),
        "level": last_level,
        "levels": {level: {key: part[key] for key in LEVEL_KEYS} for level, part in reports.items()},
        "protocol": make_protocol(base, config).id,
        "raw_passes": args.raw_passes,
        **common.environment(base),
    }
    raw = {"config": to_dict(config), "outcomes": outcomes(found)}
    common.finish(f"closed_book-{name.split('.')[0]}", result, raw, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
