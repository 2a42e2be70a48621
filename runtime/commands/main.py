"""The command line: commands, flags, exit codes. What a command does is in the file that it imports when it runs, so that help stays light.

Results go to stdout, everything else to stderr. Exit code 2 for wrong usage, 1 for failure, each with one sentence; `NREM_DEBUG=1` shows
the traceback.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands import ceiling as cli_ceiling
from nrem.runtime.commands import memories as cli_memories
from nrem.runtime.commands import tune as cli_tune
from nrem.runtime.commands.options import (
    ConfigOption,
    JsonOption,
    MemoryArgument,
    ModelOption,
    PassesOption,
    QuietOption,
    SetOption,
    fail,
    model_setting,
    print_json,
    print_memory,
)
from nrem.runtime.commands.quiet import debugging, quiet

app = typer.Typer(
    name="nrem",
    help="Let a language model sleep on what it read: documents in, LoRA fast weights out, answers without the document.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda on: _version(on))] = False,
) -> None:
    pass


@app.command()
def sleep(
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MEMORY", help="The folder to make.", show_default=False)],
    passes: PassesOption = None,
    budget: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--budget", metavar="B", help="Cap on all that is computed: 400kFET, 1.5M or 90s.", show_default=False),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run of the same documents that was cut off.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older memory, or an unfinished run.")] = False,
    forget_text: Annotated[bool, typer.Option("--forget-text", help="Do not keep the evicted text.")] = False,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Read documents, sleep on them, save the memory."""
    from nrem.runtime.commands.progress import Progress
    from nrem.runtime.config import load_config
    from nrem.runtime.session.job import SleepJob, run_sleep

    job = SleepJob(documents=tuple(documents), out=out, resume=resume, force=force, forget_text=forget_text)
    resolved = load_config(config, [*model_setting(model), *_passes(passes), *_budget(budget), *(settings or [])])
    progress = Progress(quiet=be_quiet)
    try:
        memory = run_sleep(job, resolved, listener=progress, tell=progress.note)
    except KeyboardInterrupt:
        if job.unfinished.exists():
            progress.note(f"the same command with --resume goes on from the last checkpoint in {job.unfinished}")
        raise
    finally:
        progress.close()
    print_memory(memory.record, out, as_json=as_json)


@app.command()
def ask(
    memory: MemoryArgument,
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION", help="- reads one a line from standard input.", show_default=False)],
    model: ModelOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer questions from a memory, one answer a line; where its text was kept, the chunk found for a question is in the prompt."""
    from nrem.runtime.commands.ask import ask_each, open_session

    session = open_session(memory, [*model_setting(model), *(settings or [])])
    for answer in ask_each(session, _each_question(questions)):
        if as_json:
            print_json(answer.to_dict())
        else:
            print(" ".join(answer.answer.split()), flush=True)


@app.command()
def chat(memory: MemoryArgument, model: ModelOption = None, settings: SetOption = None) -> None:
    """Ask a memory one question after the other; exit or Ctrl-D ends."""
    from nrem.runtime.commands.ask import chat, open_session

    chat(open_session(memory, [*model_setting(model), *(settings or [])]))


@app.command("eval")
def evaluate(
    memory: MemoryArgument,
    questions: Annotated[Path, typer.Option("--questions", metavar="QA.jsonl", help="Questions with their answers.", show_default=False)],
    arms: Annotated[str, typer.Option("--arms", metavar="A,B", help="What to compare.")] = "floor,wrong,memory,context",
    wrong: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--wrong", metavar="MEMORY", help="Default: sleeps on a document that comes with nrem.", show_default=False),
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a memory's adapter on questions beside no pass, a wrong memory, and the text in the prompt; the arm `search` puts the chunk
    there that is found for a question."""
    from nrem.memory.memory import Memory
    from nrem.runtime.commands.ask import open_session
    from nrem.runtime.measure.evaluate import KNOWN, check_arms, evaluate_memory, read_questions
    from nrem.runtime.show.memory import console, evaluation_report

    wanted = [arm.strip() for arm in arms.split(",") if arm.strip()]
    check_arms(wanted, KNOWN)
    asked, other = read_questions(questions), Memory.load(wrong) if wrong else None
    session = open_session(memory, model_setting(model))
    found = evaluate_memory(session.base, session.memory, asked, arms=wanted, wrong=other).to_dict()
    if as_json:
        print_json(found)
    else:
        evaluation_report(console(), found)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MEMORY", help="Where to put the memory.")] = Path("memories/demo"),
    passes: PassesOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a memory there that is not the demo's.")] = False,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Run the main job on a document that comes with nrem, and compare."""
    from nrem.runtime.commands.demo import compare, demo_document, sleep_on_demo
    from nrem.runtime.commands.demo_show import show_comparison, show_document, show_night
    from nrem.runtime.commands.progress import Progress
    from nrem.runtime.config import load_config
    from nrem.runtime.show.memory import console, summary

    resolved = load_config(config, [*model_setting(model), *_passes(passes), *(settings or [])])
    progress, screen = Progress(quiet=be_quiet), console(silent=as_json)
    try:
        show_document(screen, demo_document())
        night = sleep_on_demo(out, resolved, force=force, listener=progress, tell=progress.note)
        show_night(screen, night)
        found = compare(night, listener=progress, tell=progress.note)
        show_comparison(screen, night, found)
    finally:
        progress.close()
    if as_json:
        print_json(summary(night.memory.record, out) | {"adapter_bytes": night.memory.num_bytes} | found.to_dict())


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, and whether nrem works on it."""
    from nrem.runtime.commands.doctor import examine
    from nrem.runtime.show.memory import check_report

    checks = list(examine())
    bad = [c for c in checks if c.needed and not c.ok]
    if as_json:
        print_json({"ok": not bad, "checks": [c.to_dict() for c in checks]})
    else:
        check_report(checks)
    if bad:
        fail(f"doctor: {bad[0].name}: {bad[0].found}")


@app.command("train-protocol")
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
        model=tuple(model_setting(model)),
        held_out=held_out,
        start_from=start_from,
        resume=resume,
        smoke=smoke,
    )
    report = run_training(flags, tell=lambda figures: print(log_line(figures), file=sys.stderr, flush=True))
    if as_json:
        print_json({"protocol": str(report.folder), "steps": report.trained.steps, "seconds": report.trained.seconds, **report.figures})
    else:
        console().print(held_out_table(report.figures))
        if report.folder.exists():
            print(f"saved in {report.folder}; use it with --set protocol.name={report.folder}")


app.registered_commands += cli_memories.app.registered_commands
app.registered_commands += cli_ceiling.app.registered_commands
app.registered_commands += cli_tune.app.registered_commands


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit; the only place where errors become sentences and exit codes."""
    from nrem.memory.errors import NremError, UsageError

    quiet()
    try:
        code = app(args=list(sys.argv[1:] if argv is None else argv), prog_name="nrem", standalone_mode=False)
        sys.stdout.flush()
    except NremError as error:
        fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own, under several names over its versions
            fail(f"{error.format_message()} `nrem --help` lists commands and flags.", error.exit_code)
        if debugging():
            raise
        text = " ".join(str(error).split())
        fail(f"unexpected {type(error).__name__}: {text[:500]}; NREM_DEBUG=1 shows where", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _version(wanted: bool) -> None:
    if wanted:
        from nrem import __version__

        print(f"nrem {__version__}")
        raise typer.Exit


def _each_question(questions: Sequence[str]) -> Iterable[str]:
    for question in questions:
        yield from sys.stdin if question == "-" else [question]


def _passes(count: int | None) -> list[str]:
    return [] if count is None else [f"sleep.passes={count}", "sleep.allocator=uniform"]


def _budget(text: str | None) -> list[str]:
    if text is None:
        return []
    from nrem.consolidation.budget import parse_budget

    budget = parse_budget(text)
    return [f"sleep.budget_fet={budget.fet}", f"sleep.budget_seconds={budget.seconds}"]
