"""Ways of answering from a memory: which one, and what it puts into the prompt beside the question. The adapter is on in all of them.

    direct    nothing: the adapter alone
    search    the chunk of the kept text that the index finds for the question

Knows nothing about decoding or scores.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk

Way = Literal["direct", "search"]


def resolve_way(wanted: Literal["auto", "direct", "search"], memory: Memory) -> Way:
    """`auto` is `search` where the text was kept and the whole memory is in the adapter, else `direct`: memories of earlier rules solve an
    adapter of the chunks found. Raises `UsageError` where there is nothing to search."""
    kept = memory.text is not None and len(memory.text) > 0
    if wanted == "search" and not kept:
        raise UsageError(f"answer.way: {memory.name} has forgotten its text, and there is nothing to search; answer with direct")
    if wanted != "auto":
        return wanted
    return "search" if kept and memory.record.protocol.get("rule") == "ridge" else "direct"


@contextmanager
def searched(memory: Memory, model: nn.Module, question: str) -> Iterator[Chunk | None]:
    """The adapter that the question goes to is on while the block runs; gives the chunk that matches the question best, None where no word
    of it occurs."""
    assert memory.text is not None, "the way was resolved"
    hits = memory.text.search(question, 1)
    with memory.attached(model, memory.route(question)):
        yield hits[0].chunk if hits else None
