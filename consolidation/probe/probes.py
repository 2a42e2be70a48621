"""Questions made from facts, deterministically: study items to learn from, and held-out probes that only score.

Every fact is asked in several phrasings. The study phrasings are learned; the held-out one is never learned, so that recall measures
whether the fact can be asked for in other words. Knows nothing about models or prompts.
"""

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nrem.consolidation.probe.facts import COMMON, Fact
from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite

T = TypeVar("T")
WORDS = re.compile(r"[^\W_][\w'’\-]*")
ASK = {
    "date": ("When", "On what date"),
    "year": ("When", "In what year", "What year"),
    "number": ("How many", "How much", "What number"),
    "name": ("Who", "What", "Where", "Which"),
    "word": ("What", "Which"),
}
IN_PLACE = {"date": "on what date", "year": "what year", "number": "how many", "name": "what", "word": "what"}


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    facts_per_chunk: int = 40
    """At most this many facts of a chunk are studied, spread evenly over it."""
    held_out_per_chunk: int = 6
    """At most this many facts of a chunk are scored by their held-out phrasing."""
    keyword_variants: int = 3
    """How many differently drawn keyword questions a fact gets, besides its cloze and in-place phrasings."""
    question_tokens: int = 48
    """Longest held-out question; one made from a longer sentence keeps the words nearest to what it asks for."""
    share: float = 0.08
    """What looks at the probes may cost, of what reading the chunks and one pass over them cost, where nothing is decided by looks: two
    questions each are asked about a sample of the chunks. 1 asks all questions about all chunks."""

    def __post_init__(self) -> None:
        check_finite(self, "probes")
        for name in ("facts_per_chunk", "held_out_per_chunk", "keyword_variants", "question_tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"probes.{name}: got {getattr(self, name)}, expected a whole number from 1")
        if not 0 < self.share <= 1:
            raise UsageError(f"probes.share: got {self.share}, expected a share above 0, up to 1 for all chunks")

    @property
    def num_phrasings(self) -> int:
        """Number of study phrasings of a fact."""
        return 2 + self.keyword_variants


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A question about one fact of a chunk, and its known short answer."""

    chunk: int
    question: str
    answer: str


def thin(things: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of the things, spread evenly, in order."""
    if len(things) <= limit:
        return list(things)
    return [things[(2 * i + 1) * len(things) // (2 * limit)] for i in range(limit)]


def study_items(facts: Sequence[Fact], phrasing: int, seed: int) -> list[Probe]:
    """The study questions of one phrasing: 0 a cloze, 1 the question word in place, 2 and on keyword questions, each drawn anew.

    >>> fact = Fact(chunk=0, sentence="The Orrin light was lit in 1843.", start=27, end=31, kind="year")
    >>> [study_items([fact], phrasing, 0)[0].question for phrasing in range(2)]
    ['The Orrin light was lit in ____.', 'The Orrin light was lit in what year?']
    """
    return [Probe(chunk=f.chunk, question=_study_question(f, phrasing, seed), answer=f.answer) for f in facts]


def held_out_probes(facts: Sequence[Fact], config: ProbeConfig, count_tokens: Callable[[str], int] = len) -> list[Probe]:
    """The scoring questions of a chunk: question word first, then the sentence's content words in order, without its grammar.

    What no question of `question_tokens` can ask for is left out.

    >>> fact = Fact(chunk=0, sentence="The Orrin light was lit in 1843.", start=27, end=31, kind="year")
    >>> held_out_probes([fact], ProbeConfig())[0].question
    'When: Orrin light lit?'
    """
    probes = []
    for fact in thin(facts, config.held_out_per_chunk):
        if question := _held_out_question(fact, config.question_tokens, count_tokens):
            probes.append(Probe(chunk=fact.chunk, question=question, answer=fact.answer))
    return probes


def _held_out_question(fact: Fact, most: int, count_tokens: Callable[[str], int]) -> str:
    """With as many words on both sides of what it asks for as fit; empty where none does, or the answer is too long itself."""
    before, after = _content_words(fact.sentence[: fact.start]), _content_words(fact.sentence[fact.end :])

    def asked(reach: int) -> str:
        near = [*before[max(0, len(before) - reach) :], *after[:reach]]
        return f"{ASK[fact.kind][0]}: {' '.join(near)}?"

    if count_tokens(fact.answer) > most:
        return ""
    whole = max(len(before), len(after))
    fits = bisect_right(range(whole + 1), most, key=lambda reach: count_tokens(asked(reach)))
    return asked(fits - 1) if fits > 1 or (fits and not whole) else ""


def _study_question(fact: Fact, phrasing: int, seed: int) -> str:
    before, after = fact.sentence[: fact.start], fact.sentence[fact.end :]
    if phrasing == 0:
        return f"{before}____{after}"
    rng = random.Random(f"{seed} {phrasing} {fact.chunk} {fact.start} {fact.sentence}")
    if phrasing == 1:
        word = rng.choice(("who", "what")) if fact.kind == "name" and not before.strip() else IN_PLACE[fact.kind]
        return _sentence_case((before + word + after).rstrip(" .;:!") + "?")
    words = _content_words(f"{before} {after}")
    keep = min(len(words), max(2, round(len(words) * rng.uniform(0.4, 0.9))))
    return f"{rng.choice(ASK[fact.kind])} {' '.join(rng.sample(words, keep))}?"


def _content_words(text: str) -> list[str]:
    return [word for word in WORDS.findall(text) if word.lower() not in COMMON]


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
