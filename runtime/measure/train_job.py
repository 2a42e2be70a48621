"""The job of `nrem train-protocol`: flags in, a trained protocol's folder out. What training does is in `train`."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nrem.consolidation.protocol.folder import named_folder, training_of
from nrem.consolidation.train.trainer import TrainConfig
from nrem.consolidation.write.rules import trainable
from nrem.memory.errors import UsageError
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.target import real_target
from nrem.runtime.config import Flags, load_config, resolve, setting_layers
from nrem.runtime.measure.smoke import tiny_data, tiny_training
from nrem.runtime.measure.train import TrainJob, TrainReport, train_protocol
from nrem.runtime.models.tiny import tiny_base
from nrem.runtime.parts import load_base

SMOKE_MINUTES = 0.05
SHAPE = ("rank", "reader_rank", "scribe_rank", "error_vocabulary", "target", "layers", "reader_target", "reader_layers")
"""Keys that say what is learned, and not how."""
GO_ON_STEP_SIZE = 1.5e-3
"""Step size from a protocol that is trained already; one for a beginning loses some of what it learned (benchmarks/LOG.md)."""


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """What was asked for."""

    data: tuple[Path, ...]
    out: Path | None
    minutes: float
    rule: str
    settings: tuple[str, ...]
    """`key=value` strings for `TrainConfig`."""
    model: Flags
    """Of the configuration, to load the base by."""
    held_out: Path | None
    start_from: Path | None
    resume: bool
    smoke: bool


def run_training(flags: TrainFlags, *, tell: Callable[[dict[str, Any]], None]) -> TrainReport:
    """Train, or with `smoke` only see that training works. Raises `UsageError` for flags that do not go together, and
    `InUseError` where another training writes there."""
    if flags.smoke:
        return _smoke(flags, tell)
    if flags.rule not in trainable():
        raise UsageError(f"--rule: got {flags.rule!r}, expected {', '.join(trainable())}")
    config = training_config(flags)
    if not 0 <= flags.minutes < math.inf:
        raise UsageError(f"--minutes: got {flags.minutes}, expected a finite number from 0")
    if not flags.data or flags.out is None:
        raise UsageError("train-protocol: --data and --out are needed; --smoke does without, on a tiny model")
    base = load_base(load_config(flags=flags.model))
    out = real_target(flags.out)
    job = TrainJob(data=flags.data, out=out, minutes=flags.minutes, held_out=flags.held_out, start_from=flags.start_from)
    with one_writer(out, "nrem train-protocol"):
        return train_protocol(base, job, config, resume=flags.resume, tell=tell)


def training_config(flags: TrainFlags) -> TrainConfig:
    """What the flags say about the training itself; `--set` has the last word."""
    going_on = [("--from", {"step_size": GO_ON_STEP_SIZE} | _shape(flags.start_from, flags.rule))] if flags.start_from else []
    return resolve(TrainConfig, [("--rule", {"rule": flags.rule}), *going_on, *setting_layers(flags.settings)])


def _shape(start_from: Path, rule: str) -> dict[str, Any]:
    """Which modules the protocol that is gone on from has learned for, and at which ranks: of others nothing would be taken. Rules that
    have no scribe go on without one."""
    trained = training_of(named_folder(start_from))
    return {key: trained[key] for key in SHAPE if key in trained and (key != "scribe_rank" or rule == TrainConfig.rule)}


def _smoke(flags: TrainFlags, tell: Callable[[dict[str, Any]], None]) -> TrainReport:
    """A tiny random model on the demo document; kept where --out says, else thrown away."""
    tiny = asdict(tiny_training()) | {"rule": flags.rule}
    config = resolve(TrainConfig, [("the smoke training", tiny), *setting_layers(flags.settings)])
    with tempfile.TemporaryDirectory(prefix="nrem-smoke-") as scratch:
        folder = Path(scratch)
        out = real_target(flags.out) if flags.out else folder / "protocol"
        job = TrainJob(data=(tiny_data(folder),), out=out, minutes=SMOKE_MINUTES, held_out_passages=2, levels=(1, 2))
        return train_protocol(tiny_base(), job, config, resume=flags.resume, tell=tell)
