"""Allocation: do passes that follow difficulty beat the same FET spread evenly, on documents of mixed difficulty?

    python -m benchmarks.allocation.run [--data FILE.jsonl] [--documents 8] [--max-passes 4] [--table FILE] [--live N] [--json]

Every chunk is slept on alone, asked after each pass, and kept in a table beside the result (`--table` takes it up again, without a model).
Every arm is then replayed on the table through the allocator's own code, its looks charged, and compared at the FET that it spent with
uniform, with its own levels shuffled, and with the best levels. All differences are in answer NLL, nats per token, of questions that
decided nothing; above 0 means that the arm is better. `--live` sleeps on whole documents through `Session` at the main budget, elimination
with the curves that come with the protocol against uniform.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.allocation.data import MixedDocument, mixed_documents
from benchmarks.allocation.score import ARMS, correlations, score
from benchmarks.allocation.table import Tables, measure_tables
from benchmarks.harness import common
from benchmarks.harness.arms import Arm, Run
from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.resample import Resampler, interval
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol

BUDGETS = (0.5, 1.0, 2.0, 3.0)
"""Passes a chunk; looks are paid out of the same FET."""
MAIN_BUDGET = 0.5
"""What the last line is about: a first pass for every other chunk. Where every chunk gets one there is little left to choose."""


def live(base: Base, config: Config, documents: Sequence[MixedDocument], most: int, budget: float) -> dict[str, Any]:
    """Elimination through whole sessions with a budget of passes a chunk, beside uniform by straight lines at the same FET of passes.

    Neither looks between its passes; what both pay anyway (reading, the first and the last look, guard) is left out of both.
    """
    asked = [d.live(base.count_tokens, config.stream.chunk_tokens, config.probes, config.seed) for d in documents]
    run = Run(base, [d for d in asked if d.questions], lambda _: None)

    def slept(sleep: SleepConfig) -> Arm:
        return run.slept(replace(config, sleep=sleep), wrong=False)[0]

    adaptive = slept(replace(config.sleep, allocator="elimination", passes=most, look_every=most, mean_passes=budget))
    even = [slept(replace(config.sleep.even(n), look_every=max(1, n))) for n in range(int(budget) + 2)]
    mine, groups = _by_document(adaptive), [d.id for d in run.documents]
    theirs = [_by_document(arm) for arm in even]
    at_same_fet = [
        float(np.interp(fet, [arm.document_pass_fet[i] for arm in even], [nll[i] for nll in theirs]))
        for i, fet in enumerate(adaptive.document_pass_fet)
    ]
    better = [a - b for a, b in zip(at_same_fet, mine, strict=True)]
    ends = interval(Resampler(groups).means(better, groups)) or (None, None)
    return {
        "elimination_minus_uniform": {"mean": fmean(better), "low": ends[0], "high": ends[1]},
        "elimination": {"nll": fmean(mine), "fet": fmean(adaptive.document_pass_fet), "passes": fmean(adaptive.passes)},
        "uniform": {
            str(n): {"nll": fmean(nll), "fet": fmean(arm.document_pass_fet)} for n, (arm, nll) in enumerate(zip(even, theirs, strict=True))
        },
        "documents": len(groups),
    }


def _by_document(arm: Arm) -> list[float]:
    names = list(dict.fromkeys(a.document for a in arm.asked))
    return [fmean(a.outcome.nll for a in arm.asked if a.document == name) for name in names]


def budget_table(found: dict[str, dict[str, Any]], title: str) -> Table:
    columns = ("passes", "gain", "- uniform", "- shuffled", "headroom", "closed", "FET saved", "looks / FET", "junk", "solved")
    table = Table("arm", *columns, title=title)
    for arm, r in found.items():
        cells = (r["minus_uniform"], r["minus_shuffled"], r["headroom"], r["headroom_share"], r["fet_saved"])
        junk, solved = r["passes_by_kind"].get("junk"), r["passes_of_solved"]
        table.add_row(
            arm,
            f"{r['passes']:.2f}",
            f"{r['gain']:.3f}",
            *(_cell(c) for c in cells),
            f"{r['look_fet'] / max(r['fet'], 1.0):.0%}",
            "-" if junk is None else f"{junk:.2f}",
            "-" if solved is None else f"{solved:.2f}",
        )
    return table


def _cell(value: dict[str, float | None]) -> str:
    if value["mean"] is None:
        return "-"
    ends = "" if value["low"] is None or value["high"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value['mean']:.3f}{ends}"


def verdict(main: dict[str, Any]) -> str:
    """In words, whether the interval allows to say so."""
    difference = main["minus_uniform"]
    if difference["low"] is not None and difference["low"] > 0:
        return f"elimination beats the same FET spread evenly, by {difference['mean']:.3f} nats"
    if difference["high"] is not None and difference["high"] < 0:
        return f"elimination is worse than the same FET spread evenly, by {-difference['mean']:.3f} nats"
    return f"elimination does not beat the same FET spread evenly: {difference['mean']:+.3f} nats, the interval includes 0"


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("allocation", "Passes by difficulty against the same FET spread evenly, on mixed documents.")
    parser.add_argument("--data", help="JSON lines: documents with questions, mixed with generated chunks (default: texts of this project)")
    parser.add_argument("--documents", type=int, default=8, metavar="N", help="mixed documents to build (8)")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N of them")
    parser.add_argument("--max-passes", type=int, default=4, metavar="N", help="deepest level (4)")
    parser.add_argument("--table", type=Path, help="a table of an earlier run; no model is loaded")
    parser.add_argument("--live", type=int, default=0, metavar="N", help="documents that are slept on again through whole sessions (0)")
    args = parser.parse_args(arguments)
    if min(args.documents, args.max_passes) < 1 or min(args.limit, args.live) < 0:
        raise UsageError("--documents and --max-passes: expected 1 or more; --limit and --live: 0 or more")
    if args.table and args.live:
        raise UsageError("--live: needs the model, which --table leaves out; give one of them")
    config = load_config(args.config, args.set)
    if not args.skip_tests:
        common.require_green("tests/consolidation/allocate/test_allocator.py")
    about: dict[str, Any] = {}
    if args.table:
        tables = Tables.load(args.table)
    else:
        documents = mixed_documents(args.data, args.documents, config.seed)[: args.limit or None]
        base = load_base(config)
        about = common.environment(base)
        tables = _measured(base, config, documents, args.max_passes)
    found = report(tables, config.sleep)
    for budget, arms in found["budgets"].items():
        common.show(
            budget_table(arms, f"{found['chunks']} chunks, {found['documents']} documents, {budget} passes a chunk"), to_stderr=args.json
        )
    common.show(signal_table(found["signals"]), to_stderr=args.json)
    if args.live:
        with common.stage("live"):
            found["live"] = live(base, config, documents[: args.live], args.max_passes, found["budget_passes"])
    common.show(Table(found["verdict"]), to_stderr=args.json)
    name = Path(args.data or "project").name.split(".")[0]
    path = common.finish(f"allocation-{name}", found | about, {"config": to_dict(config)}, args.out, args.json)
    if not args.table:
        path.with_suffix(".table.json").write_text(tables.to_json() + "\n", encoding="utf-8")


def _measured(base: Base, config: Config, documents: Sequence[MixedDocument], passes: int) -> Tables:
    protocol = make_protocol(base, config)
    if protocol.learned is None or not protocol.learned.separable:
        raise UsageError(
            f"allocation: the protocol {protocol.id} does not keep apart what each chunk wrote; train one with --rule keyed, and name "
            "it with --set protocol.name=FOLDER"
        )
    tokens = config.stream.chunk_tokens
    units = [(d, d.units(base.count_tokens, tokens, config.probes, config.seed)) for d in documents]
    with common.stage(f"{sum(len(u) for _, u in units)} chunks at {passes + 1} levels"):
        return measure_tables(base, config, protocol, units, passes)


def report(tables: Tables, sleep: SleepConfig) -> dict[str, Any]:
    """Everything that follows from the table."""
    most = tables.deciding.levels[-1]
    resolved = replace(sleep, passes=most, look_every=most).resolved(most)
    budgets = {budget: score(tables, resolved, budget) for budget in BUDGETS if budget <= most}
    main_budget = min(MAIN_BUDGET, max(budgets))
    chosen = budgets[main_budget]
    best = chosen["elimination"]
    return {
        "benchmark": "allocation",
        "sign": "answer NLL saved, nats per token, of questions that decided nothing; above 0: better than the other at the same FET",
        "elimination_minus_uniform": best["minus_uniform"],
        "elimination_minus_shuffled": best["minus_shuffled"],
        "headroom_share": best["headroom_share"],
        "headroom": best["headroom"],
        "fet_saved": best["fet_saved"],
        "recall_elimination_minus_uniform": best["recall_minus_uniform"],
        "verdict": verdict(best),
        "budget_passes": main_budget,
        "arms": list(ARMS),
        "budgets": {str(budget): arms for budget, arms in budgets.items()},
        "signals": correlations(tables, min(max(1, int(main_budget)), most)),
        "curves_by_kind": curves_by_kind(tables),
        "documents": len({c.document for c in tables.deciding.curves}),
        "chunks": len(tables.deciding.curves),
    }


def curves_by_kind(tables: Tables) -> dict[str, list[float]]:
    """Mean scored answer NLL at each level, by kind of chunk."""
    scored = [c for c in tables.scoring.curves if c.num_probes]
    kinds = sorted({c.label for c in scored})
    return {kind: np.mean([c.nll for c in scored if c.label == kind], axis=0).tolist() for kind in kinds}


def signal_table(signals: dict[str, dict[str, float | None]]) -> Table:
    table = Table("signal", "rank correlation", title="what is known before the first pass, with what passes gave; out of fold")
    for name, value in signals.items():
        table.add_row(name, _cell(value))
    return table


if __name__ == "__main__":
    common.run(main)
