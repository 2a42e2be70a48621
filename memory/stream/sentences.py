"""Where paragraphs and sentences end, in text that arrives in pieces. Knows nothing about tokens or models.

The rules are for prose with white space or CJK full stops; other text still comes out whole, cut at white space.
"""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple


class End(IntEnum):
    """What a cut goes through, the worst first."""

    WORD = 0
    SPACE = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4


class Unit(NamedTuple):
    """The least that is kept together, a sentence as a rule, with the white space behind it."""

    text: str
    end: End


SPACE = re.compile(r"\s+")
_STOP = re.compile(r"[。！？｡][」』”’）]*\s*|\s+")
_TERMINATORS = ".!?…。！？｡।؟۔"
_CLOSING = "\"'”’»)]}*_」』）"
_OPENING = "\"'“‘«([{*_¿¡-–—•#>"

_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_NUMERAL = re.compile(r"\d+|[ivxlc]+", re.IGNORECASE)
_ALWAYS_SHORT = frozenset(
    """mr mrs ms mx dr prof st mt messrs mme mlle hon rev gen col lt maj capt cmdr sgt sen rep gov pres fr
    vol vols fig figs ch chap sec eq eds cf viz vs approx""".split()
)
"""A full stop behind one of these never ends a sentence."""
_OFTEN_SHORT = frozenset(
    """no nos nr pp ca ed art est dept etc al inc ltd co corp bros jr sr esq ave rd blvd ft in lb lbs oz
    a.m p.m b.c a.d jan feb mar apr jun jul aug sep sept oct nov dec""".split()
)
"""These may stand last: the sentence ends unless a number or a small letter follows."""


LONGEST_HEADING = 100
"""Characters."""
_ITEM = re.compile(r"[-*+•|>]|\d+[.)]\s|```")
"""How lists, tables, quotations and code begin, which lines of their own may end."""


def leads_on(sentence: str, *, alone: bool) -> bool:
    r"""Whether a sentence, with the white space behind it, says what comes below: it ends a paragraph in a colon, or is a paragraph of its
    own (`alone`: it begins one) and a heading, marked as one or a short line without an end.

    >>> leads_on("The works\n\n", alone=True), leads_on("It froze.\n\n", alone=True), leads_on("These are:\n\n", alone=False)
    (True, False, True)
    """
    body = sentence.strip()
    if not body or not sentence.endswith("\n"):
        return False
    if body.endswith((":", "\uff1a")):
        return True
    if not alone or "\n" in body or len(body) > LONGEST_HEADING:
        return False
    return body.startswith("#") or not (_ITEM.match(body) or body.rstrip(_CLOSING).endswith((*_TERMINATORS, ",", ";")))


def sentences(text: str) -> list[tuple[int, int]]:
    """Character spans of the sentences of a text, each with the white space behind it; the spans tile the text.

    >>> sentences("Dr. Vane came at 6.15 p.m. He left.")
    [(0, 27), (27, 35)]
    """
    spans, start = [], 0
    for unit in units([text], longest=len(text) + 1):
        spans.append((start, start + len(unit.text)))
        start += len(unit.text)
    return spans


def units(pieces: Iterable[str], *, longest: int) -> Iterator[Unit]:
    """Tile the text that the pieces make up; nothing depends on where the pieces end.

    A sentence of more than `longest` characters comes in parts, so at most about three times as many are held at once.
    """
    blocks = _regroup(pieces, longest)
    text, at, ended = "", 0, False
    while True:
        while not ended and len(text) - at <= longest:
            block = next(blocks, None)
            ended = block is None
            text, at = text[at:] + (block or ""), 0
        if at == len(text):
            return
        unit = _first_unit(text, at, min(at + longest, len(text)))
        yield unit
        at += len(unit.text)


def _regroup(pieces: Iterable[str], size: int) -> Iterator[str]:
    """The same text in blocks of `size` characters, the last one shorter."""
    parts: list[str] = []
    length = 0
    for piece in pieces:
        parts.append(piece)
        length += len(piece)
        if length >= size:
            text = "".join(parts)
            rest = length % size
            yield from (text[i : i + size] for i in range(0, length - rest, size))
            parts, length = [text[length - rest :]], rest
    if length:
        yield "".join(parts)


def _first_unit(text: str, at: int, limit: int) -> Unit:
    """The unit that begins at `at` and ends at `limit` or before; where `limit` is not the end of the text, more is known to follow."""
    cut, end = limit, End.WORD
    for stop in _STOP.finditer(text, at, limit):
        if stop.end() == len(text):
            break
        if stop.end() == limit and text[limit].isspace():  # the white space goes on behind the limit
            cut, end = limit, End.SPACE
            break
        if stop.start() > at or not text[at].isspace():
            cut, end = stop.end(), _end(text, at, stop)
            if end >= End.SENTENCE:
                return Unit(text[at:cut], end)
    return Unit(text[at:], End.PARAGRAPH) if limit == len(text) else Unit(text[at:cut], end)


def _end(text: str, at: int, stop: re.Match[str]) -> End:
    """What the white space (or CJK full stop) `stop` ends, for a unit that began at `at`."""
    before, after = stop.span()
    if text[before] in _TERMINATORS:
        return End.PARAGRAPH if stop.group().count("\n") > 1 else End.SENTENCE
    if stop.group().count("\n") > 1:  # behind a blank line; a heading, or "as follows:", stays with what it announces if it can
        return End.PARAGRAPH if text[before - 1] in _TERMINATORS + _CLOSING else End.SENTENCE
    last = before
    while last > at and text[last - 1] in _CLOSING:
        last -= 1
    if last == at or text[last - 1] not in _TERMINATORS:
        return End.SPACE
    following = text[after : after + 4].lstrip(_OPENING)[:1]
    if following.islower() and not _first_letter(text, at, before).islower():
        return End.SPACE  # "What?" he said; "etc. and": only who writes no capitals begins a sentence without one
    short = text[last - 1] == "." and _abbreviated(text[max(at, last - 24) : last - 1], following, first=last - at < 8)
    return End.SPACE if short else End.SENTENCE


def _abbreviated(text: str, following: str, *, first: bool) -> bool:
    """Whether the word that ends `text` is one whose full stop does not end a sentence; `first`: it may begin the sentence."""
    words = text.split()
    if not words or text[-1].isspace():
        return False
    word = words[-1].lstrip(_OPENING)
    if first and len(words) == 1 and _NUMERAL.fullmatch(word):  # "1. Item", "IV. The Return"
        return True
    if word.lower() in _OFTEN_SHORT:
        return following.isdigit() or following.islower()
    if _INITIALS.fullmatch(word):  # initials, "e.g.", "U.S."; but "So did I. Then"
        return word != "I" or following.islower()
    return word.lower() in _ALWAYS_SHORT


def _first_letter(text: str, start: int, end: int) -> str:
    return next((text[i] for i in range(start, end) if text[i].isalpha()), "")
