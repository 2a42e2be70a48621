"""Protocols: what should a protocol be made of? Variants trained for the same time from nothing, and compared on held-out passages.

    python -m benchmarks.protocols --data FILE... --held-out FILE [--minutes 10] [--variants ridge,delta,...] [--folder DIR] [--json]

Every variant differs from `ridge` in what its name says. What is finished in `--folder` is not trained again, and what was cut off goes on.
Minutes are of training alone, and without a GPU of the processor's time, so that two variants of one thread each (`OMP_NUM_THREADS=1`) may
train side by side; a step of a costlier variant is paid for by fewer steps.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from benchmarks.harness import common
from nrem.consolidation.train.trainer import TrainConfig
from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.runtime.config import load_config
from nrem.runtime.measure.evaluate import recovery
from nrem.runtime.measure.train import TrainJob, train_protocol
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base

BASELINE = TrainConfig(layers="upper-third", rank=256, reader_rank=16, max_passes=2, chunks_together=(1, 4), warm_up=5)
KEYED: dict[str, Any] = {"rule": "keyed", "rank": 112, "layers": "upper-half"}
VARIANTS: dict[str, dict[str, Any]] = {
    "ridge": {},
    "keyed": KEYED,
    "keyed-rank-48": KEYED | {"rank": 48},
    "keyed-rank-16": KEYED | {"rank": 16},
    "delta": {"rule": "delta", "rank": 112, "layers": "upper-half"},
    "gradient": {"rule": "gradient", "rank": 112, "layers": "upper-half"},
    "gradient-order2": {"rule": "gradient", "rank": 112, "layers": "upper-half", "order": 2},
    "ridge-order2": {"order": 2},
    "upper-quarter": {"layers": "upper-quarter"},
    "upper-half": {"layers": "upper-half"},
    "all-layers": {"layers": "all"},
    "with-attention": {"target": "down_proj,o_proj"},
    "whole-mlp": {"target": "gate_proj,up_proj,down_proj"},
    "reader-everywhere": {"reader_target": "all-linear"},
    "reader-rank-32": {"reader_rank": 32},
    "free-values": {"values_decay": 0.0},
    "passes-1": {"max_passes": 1},
    "passes-4": {"max_passes": 4},
    "together-1": {"chunks_together": (1,)},
    "together-16": {"chunks_together": (16,)},
    "smaller-steps": {"step_size": 4e-3},
    "larger-steps": {"step_size": 2e-2},
}


def processor_seconds() -> float:
    """Seconds that each of the threads has computed: waiting for a core that others hold is not training."""
    return time.process_time() / torch.get_num_threads()


def train_variant(base: Base, name: str, job: TrainJob) -> dict[str, Any]:
    """Train one variant, or take up what its folder holds; its held-out figures."""
    config = replace(BASELINE, **VARIANTS[name])
    finished = job.out.with_name(f"{name}.json")
    if finished.is_file() and (figures := json.loads(finished.read_text(encoding="utf-8")))["minutes"] == job.minutes:
        return dict(figures)
    done = train_protocol(base, job, config, resume=True, tell=lambda _: None)
    about = {"variant": name, "changed": VARIANTS[name], "minutes": job.minutes, "passages": done.trained.passages}
    text = json.dumps(about | done.figures)
    write_text(finished, text + "\n")
    return dict(json.loads(text))  # levels are strings, as when taken up


def deepest(by_level: Mapping[str, float]) -> float:
    """The figure after the most passes."""
    return list(by_level.values())[-1]


def compared(figures: dict[str, Any]) -> dict[str, float | None]:
    """After the most passes: `own`, how much better the right passage is than a wrong one, which is what was learned about writing, apart
    from the manner of answering; `recovery`, on the way from nothing written to the passage in the prompt by the variant's own reader."""
    right, wrong = deepest(figures["right"]), deepest(figures["wrong"])
    nll = {"floor": figures["floor"], "memory": right, "context": figures["context"]}
    return {"own": wrong - right, "recovery": recovery(nll)}


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("protocols", "Train variants of a protocol for the same time and compare them.")
    parser.add_argument("--data", required=True, nargs="+", type=Path, help="passages with questions, plain text: as for train-protocol")
    parser.add_argument("--held-out", required=True, type=Path, help="passages with questions that no variant trains on")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="training of each variant (10)")
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"some of {','.join(VARIANTS)}")
    parser.add_argument("--passages", type=int, default=16, metavar="N", help="held-out passages (16)")
    parser.add_argument("--levels", default="1,2", help="passes at which they are asked (1,2)")
    parser.add_argument("--folder", type=Path, help="where trainings are kept and taken up again (default: thrown away)")
    args = parser.parse_args(arguments)
    names = args.variants.split(",")
    if unknown := [name for name in names if name not in VARIANTS]:
        raise UsageError(f"--variants: no variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    if not args.skip_tests:
        common.require_green("tests/consolidation/train/test_trainer.py")
    base = load_base(load_config(args.config, args.set))
    with tempfile.TemporaryDirectory(prefix="nrem-protocols-") as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        job = TrainJob(
            data=tuple(args.data),
            out=folder,
            minutes=args.minutes,
            held_out=args.held_out,
            held_out_passages=args.passages,
            evaluate_minutes=float("inf"),
            levels=tuple(int(n) for n in args.levels.split(",")),
            clock=processor_seconds if base.model.device.type == "cpu" else time.monotonic,
        )
        rows = []
        for name in names:
            with common.stage(name):
                rows.append(train_variant(base, name, replace(job, out=folder / name)))
    rows = [row | compared(row) for row in rows]
    columns = ["passages", "nothing", *(f"{n} passes" for n in rows[0]["right"]), "wrong", "own", "in prompt", "recovery", "drift"]
    table = Table("variant", *columns, title=f"{args.minutes:g} minutes each, answer NLL of {args.passages} held-out passages")
    for row in rows:
        figures = [row["floor"], *row["right"].values(), deepest(row["wrong"]), row["own"], row["context"], row["recovery"]]
        cells = ["-" if x is None else f"{x:.2f}" for x in figures]
        table.add_row(row["variant"], str(row["passages"]), *cells, f"{deepest(row['drift']):.3f}")
    common.show(table, to_stderr=args.json)
    result = {
        "benchmark": "protocols",
        "minutes": args.minutes,
        "variants": {row["variant"]: row for row in rows},
        **common.environment(base),
    }
    common.finish("protocols", result, {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
