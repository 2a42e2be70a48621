"""`nrem tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from nrem.runtime.commands.options import (
    ConfigOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SetOption,
    fail,
    model_flag,
    numbers,
    print_json,
)

if TYPE_CHECKING:
    from nrem.runtime.tune.recommend import Wish

SearchOption = Annotated[
    Optional[str],  # noqa: UP045 - read by typer
    typer.Option("--search", metavar="R,R", help="Rounds of search to try: 0,1,2.", show_default=False),
]
VotesOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--votes", metavar="N,N", help="Numbers of votes to try: 1,3,5.", show_default=False),
]
ThinkOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--think", metavar="T,T", help="Numbers of thinking tokens to try: 0,32.", show_default=False),
]


def tune(
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    questions: Annotated[Path, typer.Option("--questions", metavar="QA.jsonl", help="Questions with their answers.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The folder to make.", show_default=False)],
    passes: Annotated[str, typer.Option("--passes", metavar="A,B", help="Levels to try; one sleep goes to the deepest.")] = "0,1,2,4,8",
    ways: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--ways", metavar="W,W", help="Ways of answering to try, beside the configured one and direct.", show_default=False),
    ] = None,
    search: SearchOption = None,
    votes: VotesOption = None,
    think: ThinkOption = None,
    prompts: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--prompts", metavar="FILE", help="Wordings to try, one a line, with {question} in it.", show_default=False),
    ] = None,
    ranges: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--range",
            metavar="KEY=LOW:HIGH",
            help="A number to search, by Optuna, at what is recommended; may be given often.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", metavar="N", min=2, help="Trials of a search, the configured numbers included.")] = 12,
    share: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--share",
            metavar="X",
            help="Part of the price of all answers to spend, by halving. Default: all of up to 24 settings, else 0.25.",
            show_default=False,
        ),
    ] = None,
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
    """Find passes, way of answering and wording for a task: scores against cost, and a recommendation."""
    from nrem.runtime.commands.ask_bar import AskBar
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.config import load_config
    from nrem.runtime.show.memory import console
    from nrem.runtime.tune.job import TuneJob, run_tune
    from nrem.runtime.tune.setting import way_strings
    from nrem.runtime.tune.table import tuning_report
    from nrem.runtime.tune.wordings import read_wordings

    resolved = load_config(config, settings or [], model_flag(model))
    job = TuneJob(
        documents=tuple(documents),
        questions=questions,
        out=out,
        passes=tuple(numbers(passes, "--passes")),
        ways=tuple(way_strings(_words(ways), _amounts(search, "--search"), _amounts(votes, "--votes"), _amounts(think, "--think"))),
        wordings=tuple(read_wordings(prompts)) if prompts else (),
        ranges=tuple(ranges or ()),
        trials=trials,
        share=share,
        wish=_wish(expected_questions, price, budget),
        resume=resume,
        force=force,
    )
    progress = ProgressBar(quiet=be_quiet)
    bar = AskBar(quiet=be_quiet)
    try:
        found = run_tune(job, resolved, listener=progress, tell=progress.note, count=bar)
    except KeyboardInterrupt:
        bar.close()
        progress.close()
        if out.exists():
            fail(f"interrupted; the same command with --resume goes on from what is in {out}", 130)
        raise
    finally:
        bar.close()
        progress.close()
    tuning_report(console(silent=as_json), found, documents, out)
    if as_json:
        print_json({"run": str(out)} | found.to_dict())


def _words(text: str | None) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def _amounts(text: str | None, flag: str) -> list[int]:
    return numbers(text, flag) if text else []


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
