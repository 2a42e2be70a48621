"""The command line: its commands, exit codes, and how errors become sentences. What a command does is in the file that it imports when it
runs, so that help stays light.

Results go to stdout, everything else to stderr. Exit code 2 for wrong usage, 1 for failure, each with one sentence; `NREM_DEBUG=1` shows
the traceback.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from nrem.runtime.commands import (
    ask,
    calibrate,
    ceiling,
    chat,
    demo,
    doctor,
    evaluate,
    extend,
    forget,
    ls,
    merge,
    rm,
    scaling,
    show,
    sleep,
    train,
    train_asker,
    train_router,
    tune,
    verify,
)
from nrem.runtime.commands.options import fail
from nrem.runtime.commands.quiet import debugging, quiet
from nrem.runtime.commands.refused import refusal, was_interrupted
from nrem.runtime.commands.streams import open_streams

COMMANDS: dict[str, Callable[..., None]] = {
    "sleep": sleep.sleep,
    "ask": ask.ask,
    "chat": chat.chat,
    "eval": evaluate.evaluate,
    "demo": demo.demo,
    "ls": ls.list_,
    "show": show.show,
    "verify": verify.verify,
    "extend": extend.extend,
    "merge": merge.merge,
    "forget": forget.forget,
    "rm": rm.remove,
    "tune": tune.tune,
    "scaling": scaling.scaling,
    "calibrate": calibrate.calibrate,
    "ceiling": ceiling.ceiling,
    "train-protocol": train.train,
    "train-asker": train_asker.train_asker,
    "train-router": train_router.train_router,
    "doctor": doctor.doctor,
}
"""A command is one file and one row here, in the order of `nrem --help`."""


def make_app(commands: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """The program with these commands."""
    app = typer.Typer(
        name="nrem",
        help="Let a language model sleep on what it read: documents in, LoRA fast weights out, answers without the document.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, command in commands.items():
        app.command(name)(command)
    return app


def main(argv: Sequence[str] | None = None, commands: Mapping[str, Callable[..., None]] = COMMANDS) -> None:
    """Run a command and exit; the only place where errors become sentences and exit codes."""
    from nrem.memory.errors import NremError, UsageError

    quiet()
    open_streams()
    try:
        code: Any = make_app(commands)(args=list(sys.argv[1:] if argv is None else argv), prog_name="nrem", standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
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
        if was_interrupted(error):
            fail("interrupted", 130)
        if sentence := refusal(error):
            fail(sentence, 1)
        text = " ".join(str(error).split())
        fail(f"unexpected {type(error).__name__}: {text[:500]}; NREM_DEBUG=1 shows where", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda on: _version(on))] = False,
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        from nrem import __version__

        print(f"nrem {__version__}")
        raise typer.Exit
