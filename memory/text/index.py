"""The search index of the chunks of a memory: BM25 over whole chunks and over windows of a few sentences, half and half.

A chunk is about several things, a question about one: the best window of a chunk says more than its average. Words count beside their
pieces. Of 855 questions about manuals, invented documents and long articles the right chunk is first for 0.77, with whole chunks and pieces
alone for 0.71; with what a document is about counted in each of its chunks, of invented documents for 0.87 instead of 0.75
(benchmarks/LOG.md). Each sentence is read once; chunks and windows are spans of sentences. Knows nothing about chunks but their texts.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING

from nrem.memory.text.terms import TERMS, terms_of

if TYPE_CHECKING:
    from nrem.memory.text.postings import Postings  # brings numpy, which those who only read the text do without

WINDOW = 3
"""Sentences or lines of a window."""
RULES = f"{TERMS}; windows of {WINDOW}; subjects; by sentences"
"""Names how an index is made and kept; one that was saved under other rules is made anew."""
_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")


class SearchIndex:
    """Scores chunks for a question."""

    def __init__(self, postings: "Postings", num_sentences: Sequence[int]) -> None:
        """`num_sentences`: of each chunk, in order, 1 or more. Its rows are those, and one of what its document is about."""
        import numpy as np

        from nrem.memory.text.bm25 import Spans

        self.postings, self.num_sentences = postings, list(num_sentences)
        sentences = np.asarray(self.num_sentences, dtype=np.int64)
        ends = np.cumsum(sentences + 1)
        firsts = ends - sentences - 1
        num_windows = np.maximum(1, sentences - WINDOW + 1)
        self._num_windows = int(num_windows.sum())
        self._first_windows = np.cumsum(num_windows) - num_windows
        starts = np.arange(self._num_windows) + np.repeat(firsts - self._first_windows, num_windows)
        self._windows = Spans(postings, starts, np.minimum(starts + WINDOW, np.repeat(ends - 1, num_windows)))
        self._chunks = Spans(postings, firsts, ends)

    @classmethod
    def of(cls, texts: Iterable[str], subjects: Iterable[str] = ()) -> "SearchIndex | None":
        """Of these texts, a chunk each; None where they have no words. `subjects`, one a text: what its document is about. A word that
        names a document is then in all of its chunks, and does not lead to those that happen to repeat it."""
        from nrem.memory.text.postings import RowReader

        reader, num_sentences = RowReader(), []
        for text, subject in zip_longest(texts, subjects, fillvalue=""):
            sentences = sentences_of(text)
            has_words = [reader.add(sentence) for sentence in sentences]
            reader.add(subject if any(has_words) else "")
            num_sentences.append(len(sentences))
        postings = reader.postings()
        return None if postings is None else cls(postings, num_sentences)

    def scores(self, question: str) -> list[float]:
        """One a chunk, 0 to 1: half of what its whole text scores relative to the best, half of what its best window does."""
        import numpy as np

        known = self.postings.terms
        wholes = np.zeros(len(self.num_sentences), dtype=np.float32)
        windows = np.zeros(self._num_windows, dtype=np.float32)
        for number, again in groupby(known[term] for term in terms_of(question) if term in known):
            before = self.postings.before(number)
            whole, window = self._chunks.scores(before), self._windows.scores(before)
            for _ in again:
                wholes += whole
                windows += window
        if not wholes.any():
            return [0.0] * len(self.num_sentences)
        best = np.maximum.reduceat(windows, self._first_windows).astype(np.float64)  # all 0 where only the subject is asked for
        scores: list[float] = ((wholes.astype(np.float64) / wholes.max() + best / (best.max() or 1.0)) / 2).tolist()
        return scores


def sentences_of(text: str) -> list[str]:
    """The sentences or lines; one that is empty where there are none.

    >>> sentences_of("One. Two!\\nThree"), sentences_of("  ")
    (['One.', 'Two!', 'Three'], [''])
    """
    return [part for part in _END.split(text) if part and part.strip()] or [""]
