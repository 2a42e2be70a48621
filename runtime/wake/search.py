"""`search`: adapter and text together."""

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.wake.way import Way

FOUND = 2
"""Chunks in the prompt, in the order of the text: one misses the answer more often, three confuse a small model (benchmarks/LOG.md)."""


class Search(Way):
    """the adapter, with the two chunks of the kept text in the prompt that the index finds for the question"""

    searches = True

    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        assert text is not None, "the way was resolved"
        return sorted((hit.chunk for hit in text.search(question, FOUND)), key=lambda chunk: chunk.index)
