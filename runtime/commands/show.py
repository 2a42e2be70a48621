"""`nrem show`."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import (
    JsonOption,
    MemoryArgument,
    print_json,
)


def show(
    memory: MemoryArgument,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--plot", metavar="FILE.png", help="Draw the hypnogram: passes and gains by chunk.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a memory was made from and how: documents, sleeps, chunks, costs."""
    from nrem.memory.saved.record_file import read_record
    from nrem.runtime.show.hypnogram import plot_hypnogram
    from nrem.runtime.show.memory import memory_report, memory_to_dict

    record = read_record(memory)
    if plot is not None:
        print(f"drawn: {plot_hypnogram(record, plot)}", file=sys.stderr)
    if as_json:
        print_json(memory_to_dict(record, memory))
    else:
        memory_report(record, memory)
