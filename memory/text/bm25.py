"""BM25 of spans of rows: how well each span answers to a term, from postings of the rows alone. Knows nothing about sentences and chunks.

Spans may overlap, and none is read, counted or kept by itself: what counts in one is a difference of two sums. The scores are those of the
library bm25s (its default, Lucene's form), which rounds each to a float32.
"""

import math
from typing import final

import numpy as np

from nrem.memory.text.postings import Array, Postings

K1, B = 1.5, 0.75
"""How soon further occurrences of a term stop to count, and how far a long span's count less."""


@final
class Spans:
    """Runs of rows, each with a score."""

    def __init__(self, postings: Postings, starts: Array, ends: Array) -> None:
        """`starts`, `ends` (span): its first row, and the one behind its last."""
        before = postings.all_before()
        lengths = before[ends] - before[starts]
        self._starts, self._ends = starts, ends
        self._damping = K1 * ((1 - B) + B * lengths / lengths.mean())

    def scores(self, before: Array) -> Array:
        """(span): for one term, of which `Postings.before` is given."""
        counts = before[self._ends] - before[self._starts]
        num_spans, having = len(counts), int(np.count_nonzero(counts))
        rarity = np.float32(math.log(1 + (num_spans - having + 0.5) / (having + 0.5)))
        return (rarity * (counts / (self._damping + counts))).astype(np.float32)
