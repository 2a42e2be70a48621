"""`nrem train-protocol`."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import (
    JsonOption,
    ModelOption,
    fail,
    model_flag,
    print_json,
)


def train(
    data: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option("--data", metavar="FILE", help="Passages with questions (.jsonl), or text; may be given often.", show_default=False),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", metavar="DIR", help="The protocol's folder.", show_default=False),
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", metavar="M", min=0.0, help="Time to train, earlier runs included.")] = 30.0,
    rule: Annotated[str, typer.Option("--rule", help="The write rule: ridge, keyed, delta or gradient.")] = "ridge",
    max_passes: Annotated[int, typer.Option("--max-passes", metavar="K", min=1, help="Depth to train for.")] = 4,
    order: Annotated[int, typer.Option("--order", min=1, max=2, help="1: what a pass reads is taken as given; 2: through all passes.")] = 1,
    model: ModelOption = None,
    held_out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--held-out", metavar="FILE", help="Passages that are only evaluated.", show_default=False),
    ] = None,
    start_from: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--from", metavar="PROTOCOL", help="Start from what this protocol has learned, by smaller steps.", show_default=False),
    ] = None,
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key of the training; may be given often.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an earlier run of the same folder.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A tiny random model on the demo document, in under a minute.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a protocol for a base model, once: how it writes, so that few passes pay."""
    from nrem.runtime.measure.train_job import TrainFlags, run_training
    from nrem.runtime.measure.train_table import held_out_table, log_line
    from nrem.runtime.show.memory import console

    flags = TrainFlags(
        data=tuple(data or ()),
        out=out,
        minutes=minutes,
        rule=rule,
        settings=(f"max_passes={max_passes}", f"order={order}", *(settings or [])),
        model=model_flag(model),
        held_out=held_out,
        start_from=start_from,
        resume=resume,
        smoke=smoke,
    )
    try:
        report = run_training(flags, tell=lambda figures: print(log_line(figures), file=sys.stderr, flush=True))
    except KeyboardInterrupt:
        if out is not None and (workshop := out.with_name(f"{out.name}.training")).exists():
            fail(f"interrupted; the same command with --resume goes on from the last checkpoint in {workshop}", 130)
        raise
    if as_json:
        print_json({"protocol": str(report.folder), "steps": report.trained.steps, "seconds": report.trained.seconds, **report.figures})
    else:
        console().print(held_out_table(report.figures))
        if report.folder.exists():
            print(f"saved in {report.folder}; use it with --set protocol.name={report.folder}")
