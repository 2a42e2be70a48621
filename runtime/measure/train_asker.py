"""Train an asker for the base model of a protocol: data in; `asker.safetensors` in the protocol's folder, log and checkpoint beside it.

    base model + protocol + passages -> trainer -> PROTOCOL/asker.safetensors beside PROTOCOL.asker-training (checkpoint, log.jsonl)

What a step does is in `nrem.consolidation.train.asker_trainer`; this file reads the data, holds some of it out, and saves what was learned.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.protocol.asker_file import ASKER, load_asker, save_asker
from nrem.consolidation.protocol.folder import PROTOCOL, load_protocol, named_folder
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.asker_trainer import AskerConfig, AskerTrainer
from nrem.consolidation.train.asking import CuedText, asked_about, mean_nll
from nrem.consolidation.train.data import Passage, Sampler, read_source
from nrem.consolidation.train.training import Trained
from nrem.consolidation.write.learned import LearnedWrite
from nrem.memory.errors import MissingFileError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.json_text import json_text
from nrem.runtime.measure.train_data import hold_out, source_weights
from nrem.runtime.models.load import Base

LOG = "log.jsonl"
WORKSHOP = ".asker-training"
"""What the name of the folder beside the protocol's ends with."""


@dataclass(frozen=True, kw_only=True)
class AskerJob:
    """One run of `nrem train-asker`."""

    protocol: Path
    """The folder of a trained protocol, which gets the asker."""
    data: tuple[Path, ...]
    """Passages with questions (.jsonl, .jsonl.gz)."""
    minutes: float
    """Time to train in all, earlier runs included; evaluations do not count."""
    held_out: Path | None = None
    """Passages that are only evaluated; None keeps the last documents of the first file for this."""
    held_out_passages: int = 24
    evaluate_minutes: float = 20.0
    start_from: Path | None = None
    """A protocol whose asker is the start; None begins as the static reader."""
    clock: Callable[[], float] = time.monotonic
    """What the minutes are of, in seconds."""

    @property
    def workshop(self) -> Path:
        """Where the checkpoint and the log of the training lie."""
        folder = self.protocol if self.protocol.name not in ("", "..") else self.protocol.resolve()
        return folder.with_name(folder.name + WORKSHOP)


@dataclass
class AskerReport:
    """What a run left."""

    asker: Path
    trained: Trained
    began: float
    """NLL of questions and answers of held-out passages, nats per token, by the asker as it began."""
    held_out: float
    """The same by the asker."""


def train_asker(base: Base, job: AskerJob, config: AskerConfig, *, resume: bool, tell: Callable[[dict[str, Any]], None]) -> AskerReport:
    """Train, evaluate, save. With `resume` an earlier run for the same folder goes on; an asker whose training is gone is not replaced.
    Raises what the data's readers and the protocol's raise."""
    check_asker_job(job, resume=resume)
    protocol = load_protocol(job.protocol, base.tokenizer, base.identity, base.model.device)
    assert protocol.learned is not None, "a folder holds a trained protocol"
    sources = asked_about([read_source(path, base.count_tokens, config.max_chunk_tokens) for path in job.data])
    apart: list[Passage] = []
    if sources:
        sources, apart = hold_out(sources, job.held_out, job.held_out_passages, base.count_tokens, config.max_chunk_tokens)
    if not any(CuedText.of(p).cues for s in sources for d in s.documents for p in d):
        names = ", ".join(path.name for path in job.data)
        raise UsageError(f"--data {names}: no question with an answer in its passage to learn from; give passages with questions (.jsonl)")
    held_out = _cued(apart, config, job.held_out or job.data[0])
    split, asker = SplitModel(base.model, 0), _start(base, job, protocol.learned, config.rank)

    def evaluate() -> dict[str, Any]:
        return {"held_out": mean_nll(split, protocol, asker, held_out, config.texts_per_step)}

    began = evaluate()["held_out"]
    journal, sampler = Journal.open(job.workshop), Sampler(sources, source_weights(sources), 0.0)
    trainer = AskerTrainer(split, protocol, asker, sampler, config, journal, base=base.identity.weights_sha256)

    def log(figures: dict[str, Any]) -> None:
        with (job.workshop / LOG).open("a", encoding="utf-8") as file:
            file.write(json_text(figures) + "\n")
        tell(figures)

    def keep(done: Trained, figures: dict[str, Any]) -> None:
        about = {"training": asdict(config), "trained": asdict(done), "data": [p.name for p in job.data], **figures}
        save_asker(job.protocol, asker, base.identity, about | {"date": time.strftime("%Y-%m-%d")})

    if not trainer.done.steps:
        log({"step": 0, "minutes": 0.0, "held_out": began, "kind": "evaluation"})
    done = trainer.run(job.minutes, evaluate, job.evaluate_minutes, log, keep, job.clock)
    figures = evaluate()
    log({"step": done.steps, "minutes": done.seconds / 60, **figures, "kind": "final"})
    keep(done, figures)
    return AskerReport(job.protocol / ASKER, done, began, figures["held_out"])


def _start(base: Base, job: AskerJob, learned: LearnedWrite[Any], rank: int) -> Asker:
    if job.start_from is None:
        return Asker.like(learned, rank).to(base.model.device)
    if (asker := load_asker(named_folder(job.start_from), base.identity, base.model.device)) is None:
        raise MissingFileError(f"--from {job.start_from}: no asker there ({ASKER} is missing); leave --from out to begin anew")
    if asker.rank != rank:
        raise UsageError(f"--from {job.start_from}: its asker has rank {asker.rank}, got {rank}; give --set rank={asker.rank}")
    return asker.requires_grad_(True)


def check_asker_job(job: AskerJob, *, resume: bool) -> None:
    """Raise `UsageError` or `MissingFileError`, before any model is loaded, for a run that could only be refused."""
    if not 0 <= job.minutes < math.inf:
        raise UsageError(f"--minutes: got {job.minutes}, expected a finite number from 0")
    if not job.data:
        raise UsageError("train-asker: --data is needed, a file of passages with questions (.jsonl)")
    if not (job.protocol / PROTOCOL).is_file():
        raise MissingFileError(f"{job.protocol}: no protocol there ({PROTOCOL} is missing); make one with nrem train-protocol")
    if job.workshop.exists() and not resume:
        raise UsageError(f"{job.protocol}: {job.workshop} holds an earlier training; go on with --resume, or move that folder away")
    if (job.protocol / ASKER).exists() and not job.workshop.exists():
        raise UsageError(f"{job.protocol / ASKER}: an asker is already there, and no training of it to go on with; move it away first")


def _cued(passages: Sequence[Passage], config: AskerConfig, path: Path) -> list[CuedText]:
    """What is evaluated on; raises `UsageError` where there is nothing."""
    if cued := [text.some(config.cues_per_text) for text in map(CuedText.of, passages) if text.cues]:
        return cued
    raise UsageError(f"{path}: no question about what is held out has its answer in the passage; name other passages with --held-out")
