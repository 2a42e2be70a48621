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
    """List the memories in a folder; with --json one object a line. Exits with 1 where one of them cannot be read, as ls does."""
    from nrem.memory.library.folder import UNFINISHED_ENTRY, list_memories
    from nrem.runtime.show.memory import console, library_table, summary
    from nrem.runtime.show.plain import plain

    entries = [] if folder is None and not Path("memories").exists() else list_memories(folder or Path("memories"))
    if as_json:
        for entry in entries:
            found = summary(entry.record, entry.folder) if entry.record else {"memory": str(entry.folder)}
            print_json(found | {"bytes": entry.num_bytes, "problem": entry.problem})
    elif entries:
        console().print(library_table(entries))
    else:
        print(f"no memories in {folder or 'memories'}; `nrem sleep DOC -o memories/NAME` makes one", file=sys.stderr)
    bad = [f"{entry.folder}: {entry.problem}" for entry in entries if entry.problem and entry.problem != UNFINISHED_ENTRY]
    for sentence in bad:
        print(f"nrem: {plain(sentence)}", file=sys.stderr)
    if bad:
        sys.exit(1)
