"""Train a protocol for a base model: data and flags in; a protocol folder, its log, its held-out curve and its last checkpoint out.

    base model + passages -> bench -> trainer -> OUT (the protocol) beside OUT.training (checkpoint, log.jsonl, curve.png)

What a step does is in `nrem.consolidation.train.trainer`; this file reads the data, holds some of it out, and writes what was learned.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from nrem.consolidation.protocol.folder import adopt_parameters, check_protocol_target, named_folder, save_protocol
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import PassageFile, Sampler, read_source
from nrem.consolidation.train.held_out import evaluate_protocol
from nrem.consolidation.train.trainer import ROW_TOKENS, ProtocolTrainer, TrainConfig
from nrem.consolidation.train.training import Trained
from nrem.consolidation.write.learned import Sizes
from nrem.consolidation.write.rules import trainable
from nrem.memory.errors import UsageError
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.json_text import json_text
from nrem.memory.weights.fast_weights import first_layer
from nrem.memory.weights.layers import find_targets, lowest_layer
from nrem.runtime.measure.train_data import hold_out, source_weights
from nrem.runtime.models.load import Base

LOG = "log.jsonl"
CURVE = "curve.png"
ORDINARY_CHARACTERS = 400_000


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One run of `nrem train-protocol`."""

    data: tuple[Path, ...]
    """Passages with questions (.jsonl, .jsonl.gz) and plain text."""
    out: Path
    """The protocol's folder."""
    minutes: float
    """Time to train in all, earlier runs included; evaluations do not count."""
    held_out: Path | None = None
    """Passages that are only evaluated; None keeps the last documents of the first file for this."""
    held_out_passages: int = 24
    evaluate_minutes: float = 20.0
    start_from: Path | None = None
    """A protocol whose parameters are the start, as far as they fit where its rule or layers are others; None begins anew."""
    levels: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of passes at which the finished protocol is evaluated."""
    name: str = ""
    """The protocol's id; empty: its folder's name."""
    note: str = ""
    """Kept in the card: licence of the data, hardware."""
    clock: Callable[[], float] = time.monotonic
    """What the minutes are of, in seconds."""


@dataclass
class TrainReport:
    """What a run left."""

    folder: Path
    trained: Trained
    figures: dict[str, Any]


def train_protocol(base: Base, job: TrainJob, config: TrainConfig, *, resume: bool, tell: Callable[[dict[str, Any]], None]) -> TrainReport:
    """Train, evaluate, save. With `resume` an earlier run of the same folder goes on; a finished protocol whose training is gone is not
    replaced. Raises what the data's readers raise."""
    workshop = job.out.with_name(job.out.name + ".training")
    if workshop.exists() and not resume:
        raise UsageError(f"--out {job.out}: {workshop} holds an earlier training; go on with --resume, or name another folder")
    check_protocol_target(job.out, replace=workshop.exists())
    sources = [read_source(path, base.count_tokens, config.max_chunk_tokens) for path in job.data]
    sources, held_out = hold_out(sources, job.held_out, job.held_out_passages, base.count_tokens, config.max_chunk_tokens)
    bench, fresh = make_bench(base, config, job)
    journal = Journal.open(workshop)
    apart, ordinary = _ordinary_text(sources, bench.protocol)
    sampler = Sampler(sources, source_weights(sources), config.cloze_share)
    trainer = ProtocolTrainer(bench, sampler, ordinary, config, journal, fresh=fresh)

    def log(figures: dict[str, Any]) -> None:
        with (workshop / LOG).open("a", encoding="utf-8") as file:
            file.write(json_text(figures) + "\n")
        tell(figures)

    def evaluate() -> dict[str, Any]:
        return evaluate_protocol(bench, held_out, sorted({1, min(2, config.max_passes), config.max_passes}), apart)

    def keep(done: Trained, figures: dict[str, Any]) -> None:
        protocol = replace(bench.protocol, trained_passes=config.max_passes)
        about = {
            "training": asdict(config),
            "trained": asdict(done),
            "data": [p.name for p in job.data],
            "held_out": figures,
            "note": job.note,
        }
        save_protocol(job.out, protocol, base.identity, about | {"date": time.strftime("%Y-%m-%d")})

    done = trainer.run(job.minutes, evaluate, job.evaluate_minutes, log, keep, job.clock)
    figures = evaluate_protocol(bench, held_out, job.levels, apart, context=True)
    log({"step": done.steps, "minutes": done.seconds / 60, **figures, "kind": "final"})
    keep(done, figures)
    plot_curve(workshop / LOG, workshop / CURVE)
    return TrainReport(job.out, done, figures)


def make_bench(base: Base, config: TrainConfig, job: TrainJob) -> tuple[Bench, set[str]]:
    """The base model with a protocol that has learned nothing yet, or what `start_from` has learned, and the modules that have not."""
    first = first_layer(base.model, config.layers)
    targets = find_targets(base.model, config.target, first)
    shapes = {name: (d_in, d_out) for name, (d_in, d_out, _) in targets.shapes.items()}
    d_model = base.model.get_output_embeddings().weight.shape[1]
    generator = torch.Generator().manual_seed(config.seed)
    sizes = Sizes(
        modules=shapes,
        d_model=d_model,
        rank=config.rank,
        reader_rank=config.reader_rank,
        scribe_rank=config.scribe_rank,
        error_vocabulary=config.error_vocabulary,
        max_passes=config.max_passes,
        readers=_reader_modules(base, config, set(shapes)),
    )
    parameters = trainable()[config.rule].create(sizes, generator)
    learned = adopt_parameters(named_folder(job.start_from), parameters) if job.start_from else set()
    parameters.to(base.model.device)
    protocol = Protocol(
        base.tokenizer,
        id=job.name or job.out.name,
        rule=config.rule,
        template="plain",
        segment_chunks=parameters.segment_chunks or max(config.chunks_together),
        question_chunks=parameters.question_chunks,
        learned=parameters,
    )
    return Bench(SplitModel(base.model, lowest_layer(base.model, shapes)), protocol, parameters, config.order), set(shapes) - learned


def _reader_modules(base: Base, config: TrainConfig, written: set[str]) -> dict[str, tuple[int, int]]:
    """The modules that carry a reader only."""
    if not config.reader_target:
        return {}
    target = "" if config.reader_target == "all-linear" else config.reader_target
    found = find_targets(base.model, target, first_layer(base.model, config.reader_layers)).shapes
    return {name: (d_in, d_out) for name, (d_in, d_out, _) in found.items() if name not in written}


def _ordinary_text(sources: Sequence[PassageFile], protocol: Protocol) -> tuple[list[list[int]], list[int]]:
    """Rows of a text that is only evaluated on, and a long text to train on: the plain sources and a passage of every other document."""
    shipped = protocol.plain_ids(resources.files("nrem.configs").joinpath("unrelated.txt").read_text(encoding="utf-8"))
    rows = [shipped[start : start + ROW_TOKENS] for start in range(0, len(shipped) - ROW_TOKENS + 1, ROW_TOKENS)]
    plain = "\n\n".join(p.text for s in sources if s.plain for d in s.documents for p in d)[:ORDINARY_CHARACTERS]
    given = [s for s in sources if not s.plain]
    each = ORDINARY_CHARACTERS // max(1, len(given))  # of every kind alike: what is ordinary must not be the first file's manner
    parts = ["\n\n".join(d[0].text for d in s.documents[: 1 + each // 100])[:each] for s in given]
    return rows[:4], protocol.plain_ids("\n\n".join([plain, *parts]))


def plot_curve(log: Path, picture: Path) -> None:
    """Held-out answer NLL against training minutes; nothing where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    rows = [row for line in log.read_text(encoding="utf-8").splitlines() if (row := json.loads(line))["kind"] in ("evaluation", "final")]
    if not rows:
        return
    axes = (figure := Figure(figsize=(7, 4), layout="constrained")).subplots()
    minutes = [row["minutes"] for row in rows]
    axes.plot(minutes, [row["floor"] for row in rows], label="no pass", color="0.6")
    for kind, color in (("wrong", "tab:orange"), ("right", "tab:blue")):
        axes.plot(minutes, [next(iter(row[kind].values())) for row in rows], "o-", label=f"{kind} memory", color=color)
    axes.set(xlabel="minutes of training", ylabel="answer NLL of held-out passages, nats per token")
    axes.legend()
    figure.savefig(picture, dpi=150)
