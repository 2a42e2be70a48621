"""What is searched for in a text: pieces of its words. Knows nothing about chunks and indexes.

A word is a run of letters, digits and the marks that belong to them, in any script, without regard to case, to full or half width, and to
accents on Latin letters: who asks for "Lodz" means "Łódź". A number is a word however its digits are grouped; an underscore is none.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

PIECE = 4
"""Letters of the pieces of words that are searched for: "bridges" finds "bridge". Pieces find the right chunk of long articles for 0.81 of
the questions, whole words for 0.775, stems for 0.78 (benchmarks/LOG.md)."""
SCHEME = f"{PIECE}-grams, pairs where no spaces stand, no accents"
"""Names these rules; an index that was saved under others is made anew."""

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_OTHERS = (
    "\u3040-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7ff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff\ua9e0-\ua9ff\uaa60-\uaa7f"
)
"""Kana, Hangul, Thai, Lao, Burmese, Khmer and Tibetan: words stand without spaces between them, or, in Korean, with their endings on."""
_GROUPED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3})+(?![0-9,])")
"""A number with its thousands set apart, or several of three digits: found as the one and as the others."""
_ON_LATIN = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_THROUGH = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})
"""Letters that do not come apart."""
_RUN = re.compile(f"[{_HAN}{_OTHERS}]+|[^{_HAN}{_OTHERS}]+")
_IS_PAIRED = re.compile(f"[{_HAN}{_OTHERS}]")
_IS_HAN = re.compile(f"[{_HAN}]")


def pieces_of(text: str) -> list[str]:
    """All runs of `PIECE` letters in words, with the words' ends marked, without English stop words and what an apostrophe leaves over.

    In scripts without spaces between words: all pairs of neighbouring characters, and every character of Chinese, which may be a word.

    >>> pieces_of("The bridge"), pieces_of("灯台"), pieces_of("R")
    (['<bri', 'brid', 'ridg', 'idge', 'dge>'], ['灯', '灯台', '台'], ['<r>'])
    """
    return [piece for word in all_words(text) for piece in pieces_of_word(word)]


def words_of(text: str) -> list[str]:
    """The words themselves, without English stop words; none in scripts without spaces between them.

    >>> words_of("The bridge at Wexley")
    ['bridge', 'wexley']
    """
    return [word for word in all_words(text) if is_searched_whole(word)]


def all_words(text: str) -> list[str]:
    """Every word in reading order, stop words as well, as it is searched for: in small letters of one width, without accents.

    >>> all_words("The ＢＲＩＤＧＥ at Łódź, 1,250 _bricks_")
    ['the', 'bridge', 'at', 'lodz', '1250', '1', '250', 'bricks']
    """
    text = _GROUPED.sub(_both, text).replace("_", " ")
    return _words().findall(text.lower() if text.isascii() else _bare(text))


def _both(number: re.Match[str]) -> str:
    parts = re.split(r"[^0-9]", number[0])
    return " ".join(("".join(parts), *parts))


def _bare(text: str) -> str:
    """In small letters of one width, and Latin ones without what stands over, under or through them."""
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", _ON_LATIN.sub("", parts.translate(_THROUGH)))


def is_searched_whole(word: str) -> bool:
    """Whether one of `all_words` is in `words_of`."""
    return word not in _stop_words() and not _IS_PAIRED.search(word)


def pieces_of_word(word: str) -> Iterator[str]:
    """What one of `all_words` adds to `pieces_of`."""
    if word.isascii() or not _IS_PAIRED.search(word):
        yield from _grams(word)
        return
    for run in _RUN.findall(word):
        if not _IS_PAIRED.match(run):
            yield from _grams(run)
            continue
        for i, character in enumerate(run):
            if len(run) == 1 or _IS_HAN.match(character):
                yield character
            if i + 1 < len(run):
                yield run[i : i + 2]


def _grams(word: str) -> Iterator[str]:
    if word not in _stop_words():
        marked = f"<{word}>"
        yield from (marked[i : i + PIECE] for i in range(max(1, len(marked) - PIECE + 1)))


@cache
def _stop_words() -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN  # brings numpy, which a listing does without

    return frozenset(STOPWORDS_EN)


@cache
def _words() -> re.Pattern[str]:
    """Words; `\\w` alone would end one at every vowel sign of Hindi or Thai. A letter behind an apostrophe, as in "Orrin's", is none."""
    marks = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c) in ("Mn", "Mc"))
    letter = rf"[\w{marks}\u200c\u200d]"
    return re.compile(rf"(?<=\w['’]){letter}{{2,}}|(?<!\w['’]){letter}+")
