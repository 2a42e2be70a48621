"""The main job in one call: documents in, a memory out; and the same memory with more documents. Knows nothing about files of memories."""

from dataclasses import replace
from pathlib import Path

from nrem.consolidation.events import Listener, ignore
from nrem.memory.arguments import check_kind
from nrem.memory.memory import Memory
from nrem.runtime.config import Config, load_config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import check_parts
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents
from nrem.runtime.session.session import Session


def consolidate(
    *documents: Document | str | Path,
    base: Base | str | None = None,
    passes: int | None = None,
    config: Config | None = None,
    listener: Listener = ignore,
) -> Memory:
    """Read documents, sleep on them, and return the memory; `passes` is the number of passes for every chunk.

    >>> memory = consolidate("report.md", passes=4)           # doctest: +SKIP
    >>> memory.save("memories/report")                        # doctest: +SKIP
    >>> Session(memory).answer("When was it signed?").answer  # doctest: +SKIP
    """
    check_parts(None, base, config)
    config = config or load_config()
    if passes is not None:
        check_kind("passes", passes, int, "a whole number from 0")
        config = replace(config, sleep=config.sleep.even(passes))
    opened = open_documents(documents)
    return Session(base=base, config=config, listener=listener).read(*opened)


def extend(memory: Memory, *documents: Document | str | Path, base: Base | str | None = None, listener: Listener = ignore) -> Memory:
    """Read more documents into a memory, which changes, and return it.

    With the ridge rule it ends where one sleep on everything would have: earlier chunks of the open adapter are read again, and what does
    not fit into it stands in segments of its own.
    """
    check_kind("memory", memory, Memory, "a Memory, as Memory.load gives it")
    opened = open_documents(documents)
    return Session(memory, base=base, listener=listener).read(*opened)
