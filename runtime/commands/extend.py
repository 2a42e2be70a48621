"""`nrem extend`."""

from typing import Annotated

import typer

from nrem.runtime.commands.options import (
    JsonOption,
    MemoryArgument,
    ModelOption,
    OutOption,
    QuietOption,
    model_flag,
    print_memory,
    target_of,
)


def extend(
    memory: MemoryArgument,
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    out: OutOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Read more documents into a memory; what it held is not overwritten."""
    from nrem.memory.saved.lock import one_writer

    target = target_of(memory, out)
    with one_writer(target, "nrem extend"):
        from nrem.memory.memory import Memory
        from nrem.runtime.commands.progress import ProgressBar
        from nrem.runtime.parts import config_of
        from nrem.runtime.session.session import Session

        progress = ProgressBar(quiet=be_quiet)
        try:
            asleep = Memory.load(memory)
            session = Session(asleep, config=config_of(asleep, flags=model_flag(model)), listener=progress)
            session.read(*documents)
        finally:
            progress.close()
        session.memory.save(target, force=out is None)
    print_memory(session.memory.record, target, as_json=as_json)
