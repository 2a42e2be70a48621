"""`nrem calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from nrem.runtime.commands.options import JsonOption, MemoryArgument, ModelOption, QuietOption, SetOption, model_flag, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from nrem.runtime.tune.calibrate import Calibrated


def calibrate(
    memory: MemoryArgument,
    questions: Annotated[Path, typer.Option("--questions", metavar="QA.jsonl", help="Questions with their answers.", show_default=False)],
    ways: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--ways", metavar="W,W", help="Ways to ask in, beside direct. Default: all that there are.", show_default=False),
    ] = None,
    model: ModelOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Learn which way of answering is worth its price for which question; then ask with --way router."""
    from nrem.runtime.measure.questions import read_questions
    from nrem.runtime.wake.ready import check_ready

    flags = model_flag(model)
    check_ready(memory, settings or [], flags)
    asked = read_questions(questions)

    from nrem.runtime.commands.ask_bar import AskBar
    from nrem.runtime.show.memory import console
    from nrem.runtime.tune.calibrate import calibrate as run
    from nrem.runtime.wake.talk import open_wake

    bar = AskBar(quiet=be_quiet)
    try:
        found = run(open_wake(memory, settings or [], flags), asked, [w.strip() for w in ways.split(",")] if ways else (), bar)
    finally:
        bar.close()
    if as_json:
        print_json(found.to_dict())
        return
    out = console()
    out.print(_table(found))
    out.print(f"kept in {found.path}; use it with: nrem ask {memory} QUESTION --way router --set answer.price=POINTS", markup=False)


def _table(found: "Calibrated") -> "Table":
    """A row a price."""
    from nrem.runtime.show.memory import plain_table
    from nrem.runtime.show.night import plural

    ways = list(found.exchange[0].shares)
    table = plain_table(">points for 1,000 FET", ">right", ">FET/question", ">mixture", ">gain, points", *(f">{way}" for way in ways))
    for row in found.exchange:
        gain = f"{row.gain.mean:+.1f} [{row.gain.low:+.1f}, {row.gain.high:+.1f}]"
        shares = (f"{100 * row.shares[way]:.0f} %" for way in ways)
        table.add_row(f"{row.price:g}", f"{row.points:.1f} %", f"{row.fet:,.0f}", f"{row.mixture:.1f} %", gain, *shares)
    judged, learned = found.exchange[0].questions, found.router.questions
    asked = f"{plural(judged, 'question')}, each by a router that has not seen its documents (or, where all have the same, its fold)"
    more = "" if learned == judged else f"; {learned - judged} more were not asked in all of these ways, and it has learned from them"
    if others := [way for way in found.router.heads if way not in ways]:
        more += f"; it may also choose {', '.join(others)}, from earlier questions"
    table.caption = f"{asked}{more}; mixture: a way by lot, at equal FET"
    table.caption_justify = "left"
    return table
