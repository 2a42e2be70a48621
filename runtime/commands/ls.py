"""`nrem ls`."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import (
    JsonOption,
    print_json,
)


def list_(
    folder: Annotated[Optional[Path], typer.Argument(metavar="DIR", help="Default: memories.", show_default=False)] = None,  # noqa: UP045
    as_json: JsonOption = False,
) -> None:
    """List the memories in a folder; with --json one object a line."""
    from nrem.memory.library.folder import list_memories
    from nrem.runtime.show.memory import console, library_table, summary

    entries = [] if folder is None and not Path("memories").exists() else list_memories(folder or Path("memories"))
    if as_json:
        for entry in entries:
            found = summary(entry.record, entry.folder) if entry.record else {"memory": str(entry.folder)}
            print_json(found | {"bytes": entry.num_bytes, "problem": entry.problem})
    elif entries:
        console().print(library_table(entries))
    else:
        print(f"no memories in {folder or 'memories'}; `nrem sleep DOC -o memories/NAME` makes one", file=sys.stderr)
