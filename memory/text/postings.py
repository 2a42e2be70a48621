"""Postings: how often each term counts in each of many short rows of text. Knows nothing about sentences, chunks and scores.

Rows are read one at a time, and only the numbers of their terms are held: 4 bytes a term, and a string for each different one.
"""

from array import array
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from nrem.memory.text.pieces import all_words
from nrem.memory.text.terms import counts_of, terms_of_word

KNOWN_WORDS = 1 << 16
"""Different words whose terms are at hand: more than a book has, and not all that a table of numbers has."""

Array = np.ndarray[Any, np.dtype[Any]]


class Postings(NamedTuple):
    """A sparse matrix by columns, a column a term."""

    terms: dict[str, int]
    """The number of each term, from 0, in the order of the numbers."""
    starts: Array
    """(term + 1): where each term's entries begin, and where the last ones end."""
    rows: Array
    """(entry): the rows that have the term, ascending within each."""
    counts: Array
    """(entry): how often it counts there, 1 or more, in the smallest unsigned integers that hold them."""
    num_rows: int

    def before(self, number: int) -> Array:
        """(row + 1): how often a term counts in all rows before each."""
        own = slice(self.starts[number], self.starts[number + 1])
        return _before(np.bincount(self.rows[own], weights=self.counts[own], minlength=self.num_rows))

    def all_before(self) -> Array:
        """(row + 1): `before`, of all terms together."""
        return _before(np.bincount(self.rows, weights=self.counts, minlength=self.num_rows))


class RowReader:
    """Reads rows of text, and makes the postings of them."""

    def __init__(self) -> None:
        self._terms: dict[str, int] = {}
        self._numbers = array("i")
        self._ends = array("q")
        self._of_word: Callable[[str], array[int]] = lru_cache(KNOWN_WORDS)(partial(_numbers_of, self._terms))

    def add(self, text: str) -> bool:
        """Read the next row; returns whether it has terms."""
        before = len(self._numbers)
        for word in all_words(text):
            self._numbers.extend(self._of_word(word))
        self._ends.append(len(self._numbers))
        return len(self._numbers) > before

    def postings(self) -> Postings | None:
        """Of the rows so far; None where none of them has terms."""
        if not self._numbers:
            return None
        num_rows = len(self._ends)
        ends = np.frombuffer(self._ends, dtype=np.int64)
        keys = np.frombuffer(self._numbers, dtype=np.int32).astype(np.int64)  # of each occurrence, its term and row in one number
        keys *= num_rows
        keys += np.repeat(np.arange(num_rows, dtype=np.int32), ends - np.concatenate([[0], ends[:-1]]))
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        counts = np.diff(first, append=len(keys))
        numbers, rows = np.divmod(keys[first], num_rows)
        counts *= np.array([counts_of(term) for term in self._terms])[numbers]
        starts = np.zeros(len(self._terms) + 1, dtype=np.int32)
        np.cumsum(np.bincount(numbers), out=starts[1:])
        return Postings(dict(self._terms), starts, rows.astype(np.int32), counts.astype(np.min_scalar_type(counts.max())), num_rows)


def _numbers_of(terms: dict[str, int], word: str) -> "array[int]":
    """The numbers of a word's terms; a new term gets the next one."""
    return array("i", [terms.setdefault(term, len(terms)) for term in terms_of_word(word)])


def _before(values: Array) -> Array:
    return np.concatenate([np.zeros(1), np.cumsum(values)])
