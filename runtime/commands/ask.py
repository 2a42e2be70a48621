"""`nrem ask`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from nrem.runtime.commands.options import (
    AskingOption,
    JsonOption,
    MemoryArgument,
    ModelOption,
    SetOption,
    WayOption,
    model_flag,
    print_json,
    way_flag,
)


def ask(
    memory: MemoryArgument,
    questions: Annotated[list[str], typer.Argument(metavar="QUESTION", help="- reads one a line from standard input.", show_default=False)],
    way: WayOption = None,
    why: Annotated[bool, typer.Option("--why", help="Show what each answer leans on: where in the document, and its words.")] = False,
    config: AskingOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer questions from a memory, one answer a line; a person at a terminal also sees how sure it is, and what it leans on."""
    from nrem.runtime.opened import asking_flags
    from nrem.runtime.wake.ready import check_ready

    flags = {**asking_flags(config), **model_flag(model), **way_flag(way)}
    asked = _each_question(questions)
    check_ready(memory, settings or [], flags)

    from nrem.runtime.show.answer import answer_line, answer_lines, why_lines
    from nrem.runtime.wake.talk import ask_each, open_wake

    wake = open_wake(memory, settings or [], flags)
    for answer in ask_each(wake, asked):
        if as_json:
            texts = {"passages": [passage.text for passage in wake.passages(answer)]} if why else {}
            print_json(answer.to_dict() | texts)
            continue
        print(answer_line(answer), flush=True)
        if why:
            print(why_lines(answer, wake.passages(answer)), flush=True)
        if sys.stdout.isatty():
            print(answer_lines(answer, sure=wake.config.answer.sure, places=not why), file=sys.stderr, flush=True)


def _each_question(questions: Sequence[str]) -> Iterator[str]:
    """Those given, which are looked at now, and those on standard input as they come."""
    from nrem.runtime.wake.config import check_question

    given = [question if question == "-" else check_question(question) for question in questions]
    return (line for question in given for line in (_typed_questions() if question == "-" else [question]))


def _typed_questions() -> Iterator[str]:
    """One a line of standard input."""
    from nrem.memory.errors import UsageError
    from nrem.runtime.readers.source import typed
    from nrem.runtime.wake.config import check_question

    for number, line in enumerate(typed(), 1):
        if line.strip():
            try:
                yield check_question(line.strip())
            except UsageError as error:
                raise UsageError(f"standard input, line {number}: {error}") from None
