"""`nrem forget`."""

import sys
from typing import Annotated

import typer

from nrem.runtime.commands.options import JsonOption, MemoryArgument, OutOption, print_json, target_of
from nrem.runtime.show.plain import plain


def forget(
    memory: MemoryArgument,
    chunks: Annotated[list[int], typer.Option("--chunk", metavar="N", min=0, help="Its number in `nrem show`; may be given often.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take chunks out of a memory, as if it had never read them: adapter, text and record."""
    from nrem.memory.library.folder import unfinished_beside
    from nrem.memory.saved.lock import one_writer

    target = target_of(memory, out)
    with one_writer(target, "nrem forget"):
        from nrem.memory.memory import Memory
        from nrem.runtime.session.rewrite import forget as without
        from nrem.runtime.show.memory import summary

        left = without(Memory.load(memory), chunks)
        left.save(target, force=out is None)
    if as_json:
        print_json(summary(left.record, target))
    else:
        print(f"{target}: {len(left.record.chunks)} chunks are left; chunks behind a forgotten one have moved up")
    if sentence := unfinished_beside(target):
        print(plain(sentence), file=sys.stderr)
