"""`nrem sleep`."""

from pathlib import Path
from typing import Annotated

import typer

from nrem.runtime.commands.options import (
    BudgetOption,
    ConfigOption,
    DreamsOption,
    JsonOption,
    ModelOption,
    PassesOption,
    QuietOption,
    SetOption,
    budget_flag,
    dreams_flag,
    fail,
    model_flag,
    passes_flag,
    print_memory,
)


def sleep(
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text files or pipes; - is standard input.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MEMORY", help="The folder to make.", show_default=False)],
    passes: PassesOption = None,
    dreams: DreamsOption = None,
    budget: BudgetOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run of the same documents that was cut off.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older memory, or an unfinished run.")] = False,
    forget_text: Annotated[bool, typer.Option("--forget-text", help="Do not keep the evicted text.")] = False,
    encoding: Annotated[
        str, typer.Option("--encoding", metavar="NAME", help="Of the documents, where it is not found out.", show_default=False)
    ] = "",
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Read documents, sleep on them, save the memory."""
    from nrem.memory.saved.lock import one_writer
    from nrem.memory.saved.target import real_target
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.config import load_config
    from nrem.runtime.session.ready import SleepJob, check_job

    job = SleepJob(documents=tuple(documents), out=out, resume=resume, force=force, forget_text=forget_text, encoding=encoding)
    resolved = load_config(
        config, settings or [], {**model_flag(model), **passes_flag(passes), **dreams_flag(dreams), **budget_flag(budget)}
    )
    progress = ProgressBar(quiet=be_quiet)
    try:
        with one_writer(real_target(out), "nrem sleep"):
            opened = check_job(job, resolved, progress.note)

            from nrem.runtime.session.job import run_sleep

            memory = run_sleep(job, resolved, documents=opened, listener=progress, tell=progress.note)
    except KeyboardInterrupt:
        progress.close()
        if job.unfinished.exists():
            fail(f"interrupted; the same command with --resume goes on from the last checkpoint in {job.unfinished}", 130)
        raise
    finally:
        progress.close()
    print_memory(memory.record, out, as_json=as_json)
