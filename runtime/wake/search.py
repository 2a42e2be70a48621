"""`search`: adapter and text together."""

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.wake.way import Way

FOUND = 1
"""Chunks in the prompt: two hold the answer more often, and confuse a small model more than that is worth (benchmarks/LOG.md)."""


class Search(Way):
    """the adapter, with the chunk of the kept text in the prompt that the index finds for the question"""

    searches = True

    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        assert text is not None, "the way was resolved"
        return sorted((hit.chunk for hit in text.search(question, FOUND)), key=lambda chunk: chunk.index)
