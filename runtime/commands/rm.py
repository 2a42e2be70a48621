"""`nrem rm`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nrem.runtime.show.plain import plain


def remove(
    memories: Annotated[list[Path], typer.Argument(metavar="MEMORY", help="Folders of memories.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete memories, and nothing else: what others put into their folders stays there, and is named."""
    from nrem.memory.library.folder import check_deletable, delete_memory, unfinished_beside

    for memory in memories:
        check_deletable(memory)
    for memory in memories:
        if yes or typer.confirm(f"delete {memory}?", err=True):
            kept = delete_memory(memory)
            said = [f"deleted {memory}"]
            if kept:
                said.append(f"kept {', '.join(kept[:5])}{' and more' if kept[5:] else ''} in {memory}: not nrem's")
            print(plain("; ".join(said)), file=sys.stderr)
            if sentence := unfinished_beside(memory):
                print(plain(sentence), file=sys.stderr)
