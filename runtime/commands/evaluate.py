"""`nrem eval`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import JsonOption, MemoryArgument, ModelOption, model_flag, print_json


def evaluate(
    memory: MemoryArgument,
    questions: Annotated[Path, typer.Option("--questions", metavar="QA.jsonl", help="Questions with their answers.", show_default=False)],
    arms: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--arms", metavar="A,B", help="What to compare; default: all that can be had of this memory.", show_default=False),
    ] = None,
    wrong: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--wrong", metavar="MEMORY", help="Default: a memory of a document that comes with nrem.", show_default=False),
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a memory on questions: its adapter alone and the other ways of answering, beside no pass, a wrong memory, the whole text."""
    from nrem.memory.memory import Memory
    from nrem.runtime.measure.evaluate import check_arms, evaluate_memory, read_questions
    from nrem.runtime.parts import config_of, load_base
    from nrem.runtime.show.answer import questions_table
    from nrem.runtime.show.memory import console, evaluation_report

    wanted = [arm.strip() for arm in (arms or "").split(",") if arm.strip()]
    if arms is not None:
        check_arms(wanted)
    asked, other = read_questions(questions), Memory.load(wrong) if wrong else None
    asleep = Memory.load(memory)
    base = load_base(config_of(asleep, flags=model_flag(model)))
    found = evaluate_memory(base, asleep, asked, arms=wanted, wrong=other)
    if as_json:
        print_json(found.to_dict() | {"questions": [row.to_dict() for row in found.rows()]})
    else:
        screen = console()
        screen.print(questions_table(found.rows()))
        evaluation_report(screen, found.to_dict())
