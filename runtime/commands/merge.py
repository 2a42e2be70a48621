"""`nrem merge`."""

from pathlib import Path
from typing import Annotated

import typer

from nrem.runtime.commands.options import JsonOption, print_memory


def merge(
    memories: Annotated[list[Path], typer.Argument(metavar="MEMORY", help="Two memories or more of one model.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MEMORY", help="The folder to make.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Make one memory of several, equal to one that read everything."""
    from nrem.memory.errors import UsageError
    from nrem.memory.memory import Memory
    from nrem.memory.saved.record_file import check_target
    from nrem.runtime.session.rewrite import merge as merge_two

    if len(memories) < 2:
        raise UsageError(f"merge: got {len(memories)} memory, expected two or more")
    check_target(out, force=False)
    first, *rest = [Memory.load(folder) for folder in memories]
    for other in rest:
        first = merge_two(first, other)
    first.save(out)
    print_memory(first.record, out, as_json=as_json)
