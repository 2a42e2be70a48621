"""`nrem extend`."""

from typing import Annotated

import typer

from nrem.runtime.commands.options import (
    BudgetOption,
    JsonOption,
    MemoryArgument,
    ModelOption,
    OutOption,
    QuietOption,
    budget_flag,
    model_flag,
    print_memory,
    target_of,
)


def extend(
    memory: MemoryArgument,
    documents: Annotated[list[str], typer.Argument(metavar="DOC", help="Text or Markdown files; - is standard input.", show_default=False)],
    out: OutOption = None,
    budget: BudgetOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Read more documents into a memory; what it held is not overwritten."""
    from nrem.memory.saved.lock import one_writer
    from nrem.memory.saved.record_file import read_record
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.readers.read import open_documents

    flags, target = {**model_flag(model), **budget_flag(budget)}, target_of(memory, out)
    progress = ProgressBar(quiet=be_quiet)
    try:
        with one_writer(target, "nrem extend"):
            read_record(memory)  # is there one? then what can be refused of the documents is so before a model library is imported
            opened = open_documents(documents, tell=progress.note)

            from nrem.memory.memory import Memory
            from nrem.runtime.parts import config_of
            from nrem.runtime.session.session import Session

            asleep = Memory.load(memory)
            session = Session(asleep, config=config_of(asleep, flags=flags), listener=progress)
            session.read(*opened)
            session.memory.save(target, force=out is None)
    finally:
        progress.close()
    print_memory(session.memory.record, target, as_json=as_json)
