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
    from nrem.memory.saved.lock import one_writer
    from nrem.memory.saved.target import check_target, real_target

    if len(memories) < 2:
        raise UsageError(f"merge: got {len(memories)} memory, expected two or more")
    with one_writer(real_target(out), "nrem merge"):
        check_target(out, force=False)

        from nrem.memory.memory import Memory
        from nrem.runtime.session.rewrite import merge as merge_two

        first, *rest = [Memory.load(folder) for folder in memories]
        for other in rest:
            first = merge_two(first, other)
        first.save(out)
    print_memory(first.record, out, as_json=as_json)
