"""Facts: short answer spans in the sentences of a chunk, found by form alone.

A fact is a sentence with one span that can be asked for: a date, a year, a number, a name, or, where a sentence has none of these, its
rarest noun-like word. Deterministic, no model, no tagger: a 135M model asked to write questions invents facts. The rules
are for English prose; other scripts get fewer facts, never wrong offsets. Knows nothing about prompts or models.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nrem.memory.stream.chunk import Chunk
from nrem.memory.stream.lines import lines_of
from nrem.memory.stream.sentences import sentences

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = re.compile(
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{MONTHS})(?:,? \d{{4}})?|(?:{MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?(?:, \d{{4}})?)\b"
)
YEAR = re.compile(r"\b(?:1\d{3}|20\d{2})s?\b")
NUMBER_WORD = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|thirty|forty|fifty|hundred|thousand"
NUMBER = re.compile(rf"[$£€]?\b\d[\d,]*(?:\.\d+)?(?:\s?%|\s(?:per cent|percent|million|billion|thousand))?|\b(?:{NUMBER_WORD})\b", re.I)
CAPITAL = r"[A-ZÀ-ÖØ-Þ][\w'’\-]*"
NAME = re.compile(rf"\b{CAPITAL}(?:(?: | of | de | la | van | von | du | del | of the ){CAPITAL})*")
MOST_MENTIONS = 2
LONGEST = 400
"""Characters of what may still be one sentence over several lines."""
WORD_LIKE = re.compile(r"[^\W_]+(?:['’.\-][^\W_]+)*")
WORD = re.compile(r"[^\W\d_][\w'’\-]*")
COMMON = frozenset(
    """a about above after again against all almost along already also although always am among an and another any are around as at away be
    became because become been before began being below between both but by came can come could did do does done down during each
    either else end even ever every few first following for former found four from further gave general get give given go good great had has
    have he her here hers him his how however i if in including into is it its itself just kept kind known large last later least less like
    little long made main make many may me might more most mostly much must my name named nearly never new next no nor not now of off often
    old on once one only or other others our out over own part people place put quite rather said same second see seen set several
    she should since small so some soon still such taken than that the their them then there these they thing third this those though three
    through thus time to today together too took two under until up upon us use used using usually very was way we well went were what when
    where whether which while who whole whom whose why will with within without would year years yet you your""".split()
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One sentence of a chunk with one span to ask for; offsets are within `sentence`."""

    chunk: int
    sentence: str
    start: int
    end: int
    kind: str
    """date | year | number | name | word"""

    @property
    def answer(self) -> str:
        return self.sentence[self.start : self.end]


def find_facts(chunk: Chunk) -> tuple[Fact, ...]:
    """All facts of a chunk in reading order; spans of one sentence do not overlap.

    An answer that stands in the title or in many sentences is what the chunk is about: asking for it teaches to say it to everything.
    """
    facts = list(_facts_of(chunk))
    often = {answer for answer, count in Counter(f.answer for f in facts).items() if count > MOST_MENTIONS}
    title = _words(chunk.title)
    return tuple(f for f in facts if f.answer not in often and _words(f.answer) not in title)


def _words(text: str) -> str:
    """In small letters, each between spaces: found in others as whole words only."""
    return f" {' '.join(WORD_LIKE.findall(text.lower()))} "


def _facts_of(chunk: Chunk) -> Iterator[Fact]:
    for sentence in _sentences(chunk.text):
        if sentence.startswith("#") or len(WORD_LIKE.findall(sentence)) < 4:
            continue
        spans = _spans(sentence)
        for begin, stop, kind in spans:
            yield Fact(chunk=chunk.index, sentence=sentence, start=begin, end=stop, kind=kind)


def _sentences(text: str) -> Iterator[str]:
    """The sentences, white space made one; rows of a table and items of a list, which have no full stops, count as one each, and so do the
    lines of what is too long for a sentence."""
    for start, end in sentences(text):
        if end - start > LONGEST:
            yield from (" ".join(line.split()) for line in text[start:end].splitlines())
        else:
            yield from lines_of(text[start:end])


def _spans(sentence: str) -> list[tuple[int, int, str]]:
    taken: list[tuple[int, int, str]] = []

    def add(start: int, end: int, kind: str) -> None:
        if all(end <= s or start >= e for s, e, _ in taken):
            taken.append((start, end, kind))

    for kind, pattern in (("date", DATE), ("year", YEAR), ("number", NUMBER), ("name", NAME)):
        for match in pattern.finditer(sentence):
            start, end = match.span()
            if kind == "name":
                first = match.group().split()[0]
                if first.lower() in COMMON:  # "The Orrin lighthouse": the article is not the name
                    start += len(first) + 1
                    if start >= end:
                        continue
                if len(match.group()) < 2 or (start == 0 and " " not in match.group() and first.lower() in COMMON):
                    continue
            if len(sentence[start:end].split()) <= 6:
                add(start, end, kind)
    if not taken:
        words = [m for m in WORD.finditer(sentence) if m.group().lower() not in COMMON and len(m.group()) > 4]
        for match in sorted(words, key=lambda m: -len(m.group()))[:2]:
            add(match.start(), match.end(), "word")
    return sorted(taken)
