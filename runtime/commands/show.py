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
    dreams: Annotated[
        bool, typer.Option("--dreams", help="Show the questions that the model asked itself about each chunk, with its answers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a memory was made from and how: documents, sleeps, chunks, costs."""
    from nrem.memory.saved.record_file import read_record
    from nrem.runtime.show.dreams import dreams_text, dreams_to_list, read_dreams
    from nrem.runtime.show.hypnogram import plot_hypnogram
    from nrem.runtime.show.memory import memory_report, memory_to_dict
    from nrem.runtime.show.plain import plain

    record = read_record(memory)
    if plot is not None:
        print(f"drawn: {plot_hypnogram(record, plot)}", file=sys.stderr)
    dreamt = read_dreams(record, memory) if dreams else []
    if as_json:
        print_json(memory_to_dict(record, memory) | ({"dreams": dreams_to_list(dreamt)} if dreams else {}))
    elif dreamt:
        print(dreams_text(dreamt))
    elif dreams:
        print(f"{plain(str(memory))}: nothing was dreamt about its chunks", file=sys.stderr)
    else:
        memory_report(record, memory)
