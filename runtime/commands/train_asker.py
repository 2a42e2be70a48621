"""`nrem train-asker`."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import JsonOption, ModelOption, fail, model_flag, print_json


def train_asker(
    protocol: Annotated[Path, typer.Argument(metavar="PROTOCOL", help="A trained protocol's folder; the asker goes into it.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", metavar="FILE", help="Passages with questions (.jsonl); may be given often.", show_default=False),
    ],
    minutes: Annotated[float, typer.Option("--minutes", metavar="M", min=0.0, help="Time to train, earlier runs included.")] = 30.0,
    model: ModelOption = None,
    held_out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--held-out", metavar="FILE", help="Passages that are only evaluated.", show_default=False),
    ] = None,
    start_from: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", metavar="PROTOCOL", help="Start from the asker of this protocol.", show_default=False),
    ] = None,
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key of the training; may be given often.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run for the same folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an asker for a protocol's base model, once: how to ask about a text before it is slept on."""
    from nrem.consolidation.train.asker_trainer import AskerConfig
    from nrem.memory.saved.lock import one_writer
    from nrem.memory.saved.target import real_target
    from nrem.runtime.config import load_config, resolve, setting_layers
    from nrem.runtime.measure import train_asker as measure
    from nrem.runtime.measure.train_table import asker_line
    from nrem.runtime.parts import load_base

    config = resolve(AskerConfig, setting_layers(settings or []))
    job = measure.AskerJob(protocol=protocol, data=tuple(data), minutes=minutes, held_out=held_out, start_from=start_from)
    measure.check_asker_job(job, resume=resume)
    base = load_base(load_config(flags=model_flag(model)))
    try:
        with one_writer(real_target(protocol), "nrem train-asker"):
            report = measure.train_asker(
                base, job, config, resume=resume, tell=lambda figures: print(asker_line(figures), file=sys.stderr, flush=True)
            )
    except KeyboardInterrupt:
        if job.workshop.exists():
            fail(f"interrupted; the same command with --resume goes on from the last checkpoint in {job.workshop}", 130)
        raise
    if as_json:
        done = report.trained
        print_json(
            {"asker": str(report.asker), "steps": done.steps, "seconds": done.seconds, "began": report.began, "held_out": report.held_out}
        )
    else:
        print(f"NLL of held-out questions and answers: {report.held_out:.3f} nats per token, {report.began:.3f} before")
        print(f"saved in {report.asker}; use it with --set protocol.name={protocol}")
