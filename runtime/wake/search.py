"""`search`: adapter and text together, in one round of search or several.

One round takes the best chunk, and the second one beside it where it matches nearly as well: then the best is the right one for three in
five only. A further round adds the best chunk that is not there yet. From the second round on the query is the question with
the names and years of what the round before has found: of questions that need two paragraphs, two rounds find both for 0.75 (HotpotQA)
and 0.34 (MuSiQue), the two best chunks for the question alone for 0.52 and 0.22 (benchmarks/LOG.md).
"""

import re

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.wake.snippet import snippet
from nrem.runtime.wake.way import Amount, Way

SNIPPET_TOKENS = 96
"""Tokens that several rounds leave of each chunk; one round keeps its chunk whole."""
NEARLY = 0.8
"""Share of the best chunk's score from which the second one is beside it (benchmarks/LOG.md)."""
_WORD = re.compile(r"\b(?:[^\W\d_][\w’'.-]*|\d{4}\b)")
"""A word, or a year."""


class Search(Way):
    """the adapter, with what the index finds for the question in N rounds in the prompt: the best chunk of the kept text, or the two that
    match alike; in several rounds part of a chunk a round"""

    searches = True
    counts = Amount("rounds of search", usual=1, most=8)

    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        assert text is not None, "the way was resolved"
        if len(text) == 1:  # there is nothing to search for
            return [text.get(0)]
        if self.amount == 1:
            return _best(text, question)
        found: list[Chunk] = []
        query = question
        for _ in range(self.amount):
            if (chunk := _another(text, query, found) or _another(text, question, found)) is None:
                break
            found.append(chunk)
            query = " ".join([question, *_names(chunk.text)])
        if len(found) > 1:
            found = [snippet(chunk, question, SNIPPET_TOKENS) for chunk in found]
        return sorted(found, key=lambda chunk: chunk.index)


class FoundIfKept(Way):
    """Ways whose prompt is that of `search` where the text was kept, and that of `direct` where it was forgotten."""

    dear = True

    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        return [] if text is None else Search("search").chunks(text, question)


def _best(text: EvictedText, question: str) -> list[Chunk]:
    """The best chunk, and the second where it is nearly as good, in the text's order."""
    hits = text.search(question, 2)
    near = [hit.chunk for hit in hits if hit.score >= NEARLY * hits[0].score]
    return sorted(near, key=lambda chunk: chunk.index)


def _names(text: str) -> list[str]:
    """Words with a capital, and years; in scripts without capitals every word, so that all of a chunk is asked for."""
    return [word for word in _WORD.findall(text) if not word[0].islower()]


def _another(text: EvictedText, query: str, found: list[Chunk]) -> Chunk | None:
    """The best chunk that is not found yet."""
    known = {chunk.index for chunk in found}
    return next((hit.chunk for hit in text.search(query, len(found) + 1) if hit.chunk.index not in known), None)
