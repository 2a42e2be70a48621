"""Exchange: what else could the same compute buy? Few passes over all layers or many over a few, bf16 or fp32, a larger model.

    python -m benchmarks.exchange --data FILE.jsonl [--limit N] [--model OTHER] [--rows layers,dtype,model] [--json]

`layers` are gradient passes of the untrained protocol at about equal FET: the fewer layers are adapted, the less of the model a pass runs
through. `dtype` is the configured protocol at the same passes, where FET are equal and seconds are not. `model` needs `--model`: another
base with the untrained protocol, beside the configured one with so many more passes as cost the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from benchmarks.harness.arms import Arm, Run, at_level
from nrem.consolidation.budget import CostModel
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, load_config
from nrem.runtime.measure.questions import QuestionedDocument, read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base

KINDS = ("layers", "dtype", "model")
LAYERS = {"all": 8, "upper-half": 12, "upper-quarter": 18}
"""Passes that cost about the same: a pass over the upper half runs through half of the layers forward and back."""
MODEL_PASSES = 4


def untrained(config: Config, passes: int, **fast_weights: Any) -> Config:
    """Gradient passes on study items, whatever the protocol."""
    config = replace(config, protocol=replace(config.protocol, name="untrained"), guard=replace(config.guard, enabled=False))
    return at_level(replace(config, fast_weights=replace(config.fast_weights, **fast_weights)), passes)


def rows(config: Config, kinds: Sequence[str], other: str) -> Iterator[tuple[str, str, Config]]:
    """(kind, name, configuration) of every row; the configuration says which base it needs."""
    if "layers" in kinds:
        for layers, passes in LAYERS.items():
            yield "layers", f"{layers}, {passes} passes", untrained(config, passes, layers=layers)
    if "dtype" in kinds:
        for dtype in ("bf16", "fp32"):
            for passes in (1, 2):
                yield "dtype", f"{dtype}, {passes} passes", at_level(replace(config, model=replace(config.model, dtype=dtype)), passes)
    if "model" in kinds:
        yield "model", f"{other}, {MODEL_PASSES} passes", untrained(replace(config, model=replace(config.model, name=other)), MODEL_PASSES)
        for times in (1, 2, 4):
            yield "model", f"{config.model.name}, {times * MODEL_PASSES} passes", untrained(config, times * MODEL_PASSES)


def measured(arm: Arm) -> dict[str, Any]:
    """What a row says: scores over its questions, with the interval by document, and the price of a document."""
    nll = [a.outcome.nll for a in arm.asked]
    groups = [a.group for a in arm.asked]
    ends = interval(Resampler(groups).means(nll, groups)) or (None, None)
    scores = {"nll": fmean(nll), "low": ends[0], "high": ends[1], "f1": fmean(a.outcome.score.f1 for a in arm.asked)}
    return scores | {"fet": fmean(arm.document_fet), "seconds": fmean(arm.document_seconds)}


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("exchange", "What the same compute buys elsewhere: layers, precision, a larger model.")
    parser.add_argument("--data", required=True, help="JSON lines: documents with questions")
    parser.add_argument("--limit", type=int, default=6, metavar="N", help="only the first N documents (6)")
    parser.add_argument("--rows", default="layers,dtype", help=f"some of {','.join(KINDS)}")
    parser.add_argument("--model", default="", help="another base model, for the rows of that name")
    args = parser.parse_args(arguments)
    kinds = args.rows.split(",")
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise UsageError(f"--rows: no rows {unknown[0]!r}; there are {', '.join(KINDS)}")
    if "model" in kinds and not args.model:
        raise UsageError("--rows model: needs another base to compare with; name it with --model")
    config = load_config(args.config, args.set)
    documents: Sequence[QuestionedDocument] = read_documents(args.data)[: args.limit]
    if not args.skip_tests:
        common.require_green("tests/runtime/measure/test_evaluate.py")
    found, table = [], Table("", "answer NLL", "F1", "GFLOP a document", "seconds a document", title=f"{len(documents)} documents")
    held: tuple[Any, Base] | None = None
    for kind, name, row in rows(config, kinds, args.model):
        if held is None or held[0] != row.model:
            held = (row.model, load_base(row))
        with common.stage(name):
            arm, _ = Run(held[1], documents, lambda _: None).slept(row, wrong=False)
        value = measured(arm)
        value["gflop"] = value["fet"] * CostModel.of(held[1].model).flops_per_fet / 1e9  # a FET is a token of its own model
        found.append({"kind": kind, "name": name} | value)
        ends = "" if value["low"] is None else f" [{value['low']:.2f}, {value['high']:.2f}]"
        table.add_row(name, f"{value['nll']:.2f}{ends}", f"{100 * value['f1']:.0f}", f"{value['gflop']:,.0f}", f"{value['seconds']:.1f}")
    common.show(table, to_stderr=args.json)
    assert held is not None, "every kind has rows"
    result = {"benchmark": "exchange", "data": args.data.rsplit("/", 1)[-1], "documents": len(documents), "rows": found}
    common.finish("exchange", result | common.environment(held[1]), {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
