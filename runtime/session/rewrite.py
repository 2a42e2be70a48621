"""Merging memories and forgetting chunks of them, whatever rule wrote them.

Where an adapter follows from its texts alone, the base model is loaded and they are written anew.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from nrem.consolidation.budget import Ledger
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.finite import solvable
from nrem.consolidation.write.rules import RULES
from nrem.memory import rebuild
from nrem.memory.arguments import check_kind, check_list
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import base_of, check_parts, config_of, make_fast_weights, make_protocol, make_rule

A_MEMORY = "a Memory, as Memory.load gives it"


def merge(first: Memory, second: Memory, *, base: Base | str | None = None) -> Memory:
    """One memory of both, equal to one made of all documents where one adapter may hold them (`segment_chunks` 0), else their segments
    side by side. `base` is loaded only where texts must be written anew.

    Raises `BaseMismatchError` for different base models and `UsageError` for different protocols.
    """
    check_kind("first", first, Memory, A_MEMORY)
    check_kind("second", second, Memory, A_MEMORY)
    check_parts(None, base, None)
    return rebuild.merge(first, second, rewriter(first, base) if follows_from_texts(first) else None)


def forget(memory: Memory, indices: Sequence[int], *, base: Base | str | None = None) -> Memory:
    """The memory without these chunks, equal to one that never read them; later chunks move up. `base` is loaded only where the others must
    be written anew.

    Raises `UsageError` for an index that is not there, and where the rule cannot take chunks out again.
    """
    check_kind("memory", memory, Memory, A_MEMORY)
    check_list("indices", indices, int, "numbers of chunks")
    check_parts(None, base, None)
    return rebuild.forget(memory, indices, rewriter(memory, base) if follows_from_texts(memory) else None)


def follows_from_texts(memory: Memory) -> bool:
    """Whether the adapter is what its rule makes of the texts, and nothing else is kept."""
    row = RULES.get(memory.record.protocol.get("rule", ""))
    return row is not None and row.rereads


def rewriter(memory: Memory, base: Base | str | None) -> rebuild.Rewrite:
    """Writes chunks with the model and the protocol of a memory, which are loaded when the first are to be written."""

    @cache
    def parts() -> tuple[Base, Protocol, Config]:
        config = config_of(memory, base_given=base is not None)
        loaded = base_of(config, base)
        memory.check_base(loaded.identity)
        return loaded, make_protocol(loaded, config, memory.record), config

    def rewrite(chunks: Sequence[Chunk], passes: Mapping[int, int]) -> FastWeights:
        loaded, protocol, config = parts()
        fast = make_fast_weights(loaded, config, protocol)
        rule = make_rule(loaded, config, protocol, fast, Ledger())
        with fast.attached(loaded.model), solvable():
            rule.rewrite(chunks, passes)
        return fast

    return rewrite
