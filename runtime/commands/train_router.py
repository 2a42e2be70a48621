"""`nrem train-router`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import JsonOption, QuietOption, fail, print_json


def train_router(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder to make.", show_default=False)],
    price: Annotated[
        str, typer.Option("--price", metavar="G,G", help="What thinking costs, of a reward of 1; one model learns all of these.")
    ] = "0.1,0.5,1,1.5",
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Models to train.")] = 1,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="M", min=0.0, help="The most time for each, earlier runs included.")
    ] = 10.0,
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key of the training; may be given often.", show_default=False),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut off; one whose minutes are over is finished.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run.")] = False,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Train small models to decide when to think (DeGRPO), on a world where only long chains need it."""
    import sys

    from nrem.memory.saved.lock import one_writer
    from nrem.memory.saved.target import real_target
    from nrem.runtime.config import resolve, setting_layers
    from nrem.runtime.route.config import RouterConfig
    from nrem.runtime.route.job import RouterJob, run_router
    from nrem.runtime.route.table import arms_table, hops_table, progress_line, verdict
    from nrem.runtime.show.memory import console

    config = resolve(RouterConfig, setting_layers(settings or []))
    job = RouterJob(out=out, prices=prices_of(price), seeds=seeds, minutes=minutes, resume=resume, force=force)

    def note(seed: int, phase: str, done: int, steps: int, figures: dict[str, float]) -> None:
        if not be_quiet:
            print(progress_line(seed, phase, done, steps, figures), file=sys.stderr, flush=True)

    try:
        with one_writer(real_target(out), "nrem train-router"):
            result = run_router(job, config, note=note)
    except KeyboardInterrupt:
        if out.exists():
            fail(f"interrupted; the same command with --resume goes on from what is in {out}", 130)
        raise
    if as_json:
        print_json({"run": str(out), **result})
        return
    screen = console()
    screen.print(hops_table(result["mean"], seeds))
    screen.print(arms_table(result["mean"]))
    for sentence in verdict(result):
        screen.print(sentence, markup=False)
    screen.print(f"models and single outcomes are in {out}", markup=False)


def prices_of(text: str) -> tuple[float, ...]:
    """`0.1,0.5` as numbers; raises `UsageError`."""
    from nrem.memory.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--price: got {text!r}, expected numbers from 0 to below 2, such as 0.1,0.5") from None
