"""`nrem rm`."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def remove(
    memories: Annotated[list[Path], typer.Argument(metavar="MEMORY", help="Folders of memories.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete memories; never anything else."""
    from nrem.memory.library.folder import check_deletable, delete_memory

    for memory in memories:
        check_deletable(memory)
    for memory in memories:
        if yes or typer.confirm(f"delete {memory}?", err=True):
            delete_memory(memory)
            print(f"deleted {memory}", file=sys.stderr)
