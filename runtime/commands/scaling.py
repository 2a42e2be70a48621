"""`nrem scaling`."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import JsonOption, print_json


def scaling(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Folders of nrem tune on the same questions, one a model.", show_default=False)
    ],
    expected_questions: Annotated[
        int, typer.Option("--expected-questions", metavar="N", min=1, help="A document, that one sleep serves.")
    ] = 20,
    picture: Annotated[
        Optional[Path],  # noqa: UP045 - read by typer
        typer.Option("--picture", metavar="FILE.png", help="Right answers against GFLOP.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what compute buys: passes, search, thought, votes, a larger model; and from how many questions on sleeping is cheaper."""
    from nrem.runtime.scaling.points import read_runs
    from nrem.runtime.scaling.report import Report, draw_report, print_report
    from nrem.runtime.show.memory import console

    report = Report.of(read_runs(runs), expected_questions)
    print_report(console(silent=as_json), report)
    if picture is not None and (problem := draw_report(report, picture)):
        print(f"nrem: {problem}", file=sys.stderr)
    if as_json:
        print_json(report.to_dict())
