"""The commands that list, show, check, change and delete memories; `runtime.cli` is the program they belong to."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import (
    JsonOption,
    MemoryArgument,
    ModelOption,
    OutOption,
    QuietOption,
    fail,
    model_setting,
    print_json,
    print_memory,
)

app = typer.Typer()


@app.command("ls")
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


@app.command()
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


@app.command()
def verify(memory: MemoryArgument, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Check a memory: files, tensors, base model, the same logits from PEFT, the recorded answer."""
    from nrem.runtime.commands.verify import verify_memory
    from nrem.runtime.show.memory import check_report

    checks = list(verify_memory(memory, model_setting(model)))
    if as_json:
        print_json({"memory": str(memory), "ok": all(c.ok for c in checks), "checks": [c.to_dict() for c in checks]})
    else:
        check_report(checks)
    if failed := [c for c in checks if not c.ok]:
        fail(f"{memory}: {failed[0].name}: {failed[0].found}")


@app.command()
def extend(
    memory: MemoryArgument,
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    out: OutOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Read more documents into a memory; what it held is not overwritten."""
    from nrem.runtime.commands.ask import open_session
    from nrem.runtime.commands.progress import Progress
    from nrem.runtime.session.consolidate import read_all

    target = _target(memory, out)
    progress = Progress(quiet=be_quiet)
    try:
        session = open_session(memory, model_setting(model), listener=progress)
        read_all(session, documents)
    finally:
        progress.close()
    session.memory.save(target, force=out is None)
    print_memory(session.memory.record, target, as_json=as_json)


@app.command()
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


@app.command()
def forget(
    memory: MemoryArgument,
    chunks: Annotated[list[int], typer.Option("--chunk", metavar="N", min=0, help="Its number in `nrem show`; may be given often.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take chunks out of a memory, as if it had never read them: adapter, text and record."""
    from nrem.memory.memory import Memory
    from nrem.runtime.session.rewrite import forget as without
    from nrem.runtime.show.memory import summary

    target = _target(memory, out)
    left = without(Memory.load(memory), chunks)
    left.save(target, force=out is None)
    if as_json:
        print_json(summary(left.record, target))
    else:
        print(f"{target}: {len(left.record.chunks)} chunks are left; chunks behind a forgotten one have moved up")


@app.command("rm")
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


def _target(memory: Path, out: Path | None) -> Path:
    """Where a changed memory goes: over the old one, or to a new place, where nothing may be."""
    from nrem.memory.saved.record_file import check_target

    if out is not None:
        check_target(out, force=False)
    return out or memory
