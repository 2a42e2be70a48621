"""The terms by which texts are found: the pieces of their words, and the words themselves, which count more. Knows no chunks."""

from nrem.memory.text.pieces import SCHEME, is_searched_whole, pieces_of, pieces_of_word, words_of

WORDS_COUNT = 3
"""How often a whole word counts, beside its pieces."""
TERMS = f"{SCHEME}; words {WORDS_COUNT} times"
"""Names these rules."""
_WHOLE = "="
"""How the term of a whole word begins; no piece begins so."""


def terms_of(text: str) -> list[str]:
    """Pieces first, then the words, each as often as it counts.

    >>> terms_of("A light")
    ['<lig', 'ligh', 'ight', 'ght>', '=light', '=light', '=light']
    """
    return [*pieces_of(text), *(f"{_WHOLE}{word}" for word in words_of(text) for _ in range(WORDS_COUNT))]


def terms_of_word(word: str) -> list[str]:
    """What one of `all_words` adds to the terms of a text, each once; `counts_of` says how often it counts."""
    return [*pieces_of_word(word), *([f"{_WHOLE}{word}"] if is_searched_whole(word) else [])]


def counts_of(term: str) -> int:
    """How often a term counts where it stands once."""
    return WORDS_COUNT if term.startswith(_WHOLE) else 1
