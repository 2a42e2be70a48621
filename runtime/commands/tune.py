"""`nrem tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from nrem.runtime.commands.options import ConfigOption, JsonOption, ModelOption, QuietOption, SetOption, model_flag, numbers, print_json

if TYPE_CHECKING:
    from nrem.runtime.tune.recommend import Wish


def tune(
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    questions: Annotated[Path, typer.Option("--questions", metavar="QA.jsonl", help="Questions with their answers.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder to make.", show_default=False)],
    passes: Annotated[str, typer.Option("--passes", metavar="A,B", help="Levels to try; one sleep goes to the deepest.")] = "0,1,2,4,8",
    price: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--price", metavar="FET", help="What a point of F1 is worth over all expected questions: 40kFET.", show_default=False),
    ] = None,
    budget: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--budget", metavar="B", help="Cap on the sleep and all expected questions: 400kFET or 90s.", show_default=False),
    ] = None,
    expected_questions: Annotated[int, typer.Option("--expected-questions", metavar="N", min=1, help="That one sleep will serve.")] = 20,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was cut off; what was measured stays.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run.")] = False,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Find the number of passes for a task: scores against cost, and a recommendation."""
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.config import load_config
    from nrem.runtime.show.memory import console
    from nrem.runtime.tune.job import TuneJob, run_tune
    from nrem.runtime.tune.table import tuning_report

    resolved = load_config(config, settings or [], model_flag(model))
    job = TuneJob(
        documents=tuple(documents),
        questions=questions,
        out=out,
        passes=tuple(numbers(passes, "--passes")),
        wish=_wish(expected_questions, price, budget),
        resume=resume,
        force=force,
    )
    progress = ProgressBar(quiet=be_quiet)
    try:
        found = run_tune(job, resolved, listener=progress, tell=progress.note)
    except KeyboardInterrupt:
        progress.note(f"the same command with --resume goes on from what is in {out}")
        raise
    finally:
        progress.close()
    tuning_report(console(silent=as_json), found, documents, out)
    if as_json:
        print_json({"run": str(out)} | found.to_dict())


def _wish(expected_questions: int, price: str | None, budget: str | None) -> "Wish":
    from nrem.consolidation.budget import Budget, parse_budget
    from nrem.memory.errors import BudgetError
    from nrem.runtime.tune.recommend import Wish

    worth = 0.0
    if price is not None:
        try:
            worth = parse_budget(price).fet
        except BudgetError:
            worth = 0.0
        if not worth:
            raise BudgetError(f"--price: got {price!r}, expected a number above 0 of FET for a point of F1, such as 40kFET")
    return Wish(expected_questions=expected_questions, price=worth, budget=parse_budget(budget) if budget else Budget())
