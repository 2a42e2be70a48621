"""The search index of the chunks of a memory: BM25 over whole chunks and over windows of a few sentences, half and half.

A chunk is about several things, a question about one: the best window of a chunk says more than its average. Words count beside their
pieces. Of 855 questions about manuals, invented documents and long articles the right chunk is first for 0.77, with whole chunks and pieces
alone for 0.71; with what a document is about counted in each of its chunks, of invented documents for 0.87 instead of 0.75
(benchmarks/LOG.md). Knows nothing about chunks but their texts.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from nrem.memory.text.pieces import SCHEME, pieces_of, words_of

WORDS_COUNT = 3
"""How often a whole word counts, beside its pieces."""
WINDOW = 3
"""Sentences or lines of a window."""
RULES = f"{SCHEME}; words {WORDS_COUNT} times; windows of {WINDOW}; subjects"
"""Names how an index is made; one that was saved under other rules is made anew."""
_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")


class SearchIndex:
    """Scores chunks for a question."""

    def __init__(self, chunks: Any, windows: Any, counts: Sequence[int]) -> None:
        """Two `bm25s.BM25`, and how many windows each chunk has, in order."""
        self._chunks, self._windows, self._counts = chunks, windows, list(counts)

    @classmethod
    def of(cls, texts: Iterable[str], subjects: Iterable[str] = ()) -> "SearchIndex | None":
        """Of these texts, a chunk each; None where they have no words. `subjects`, one a text: what its document is about. A word that
        names a document is then in all of its chunks, and does not lead to those that happen to repeat it."""
        wholes: list[list[str]] = []
        parts: list[list[str]] = []
        counts: list[int] = []
        for text, subject in zip_longest(texts, subjects, fillvalue=""):
            terms = _terms(text)
            wholes.append(terms and terms + _terms(subject))
            windows = windows_of(text)
            counts.append(len(windows))
            parts += [_terms(window) for window in windows]
        if not any(wholes):
            return None
        return cls(_index(wholes), _index(parts), counts)

    def scores(self, question: str) -> list[float]:
        """One a chunk, 0 to 1: half of what its whole text scores relative to the best, half of what its best window does."""
        terms = _terms(question)
        wholes, windows = (_scores(index, terms) for index in (self._chunks, self._windows))
        best, start = [], 0
        for count in self._counts:
            best.append(max(windows[start : start + count], default=0.0))
            start += count
        most, most_of_windows = max(wholes, default=0.0), max(best, default=0.0)
        if not most or not most_of_windows:
            return [0.0] * len(wholes)
        return [(a / most + b / most_of_windows) / 2 for a, b in zip(wholes, best, strict=True)]

    def parts(self) -> tuple[Any, Any, list[int]]:
        """What it was made with, for `index_file`."""
        return self._chunks, self._windows, self._counts


def windows_of(text: str) -> list[str]:
    """Every run of `WINDOW` sentences or lines; the whole text where it has fewer."""
    parts = [part for part in _END.split(text) if part and part.strip()]
    return [" ".join(parts[i : i + WINDOW]) for i in range(max(1, len(parts) - WINDOW + 1))]


def _terms(text: str) -> list[str]:
    return [*pieces_of(text), *(f"={word}" for word in words_of(text) for _ in range(WORDS_COUNT))]


def _index(rows: Sequence[Sequence[str]]) -> Any:
    import bm25s

    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in row] for row in rows]
    index = bm25s.BM25()
    index.index((ids, vocabulary), show_progress=False)
    return index


def _scores(index: Any, terms: list[str]) -> list[float]:
    if not index.get_tokens_ids(terms):
        return [0.0] * int(index.scores["num_docs"])
    scores: list[float] = index.get_scores(terms).tolist()
    return scores
