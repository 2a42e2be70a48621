"""Questions made from facts, deterministically: study items to learn from, and held-out probes that only score.

Every fact is asked in several phrasings. The study phrasings are learned; the held-out one is never learned, so that recall measures
whether the fact can be asked for in other words. Knows nothing about models or prompts.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nrem.consolidation.probe.facts import COMMON, Fact
from nrem.memory.errors import UsageError

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

    def __post_init__(self) -> None:
        for name in ("facts_per_chunk", "held_out_per_chunk", "keyword_variants"):
            if getattr(self, name) < 1:
                raise UsageError(f"probes.{name}: got {getattr(self, name)}, expected a whole number from 1")

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


def thin(facts: Sequence[Fact], limit: int) -> list[Fact]:
    """At most `limit` of the facts, spread evenly, in order."""
    if len(facts) <= limit:
        return list(facts)
    return [facts[(2 * i + 1) * len(facts) // (2 * limit)] for i in range(limit)]


def study_items(facts: Sequence[Fact], phrasing: int, seed: int) -> list[Probe]:
    """The study questions of one phrasing: 0 a cloze, 1 the question word in place, 2 and on keyword questions, each drawn anew.

    >>> fact = Fact(chunk=0, sentence="The Orrin light was lit in 1843.", start=27, end=31, kind="year")
    >>> [study_items([fact], phrasing, 0)[0].question for phrasing in range(2)]
    ['The Orrin light was lit in ____.', 'The Orrin light was lit in what year?']
    """
    return [Probe(chunk=f.chunk, question=_study_question(f, phrasing, seed), answer=f.answer) for f in facts]


def held_out_probes(facts: Sequence[Fact], config: ProbeConfig) -> list[Probe]:
    """The scoring questions of a chunk: question word first, then the sentence's content words in order, without its grammar.

    >>> fact = Fact(chunk=0, sentence="The Orrin light was lit in 1843.", start=27, end=31, kind="year")
    >>> held_out_probes([fact], ProbeConfig())[0].question
    'When: Orrin light lit?'
    """
    probes = []
    for fact in thin(facts, config.held_out_per_chunk):
        question = f"{ASK[fact.kind][0]}: {' '.join(_content_words(fact))}?"
        probes.append(Probe(chunk=fact.chunk, question=question, answer=fact.answer))
    return probes


def _study_question(fact: Fact, phrasing: int, seed: int) -> str:
    before, after = fact.sentence[: fact.start], fact.sentence[fact.end :]
    if phrasing == 0:
        return f"{before}____{after}"
    rng = random.Random(f"{seed} {phrasing} {fact.chunk} {fact.start} {fact.sentence}")
    if phrasing == 1:
        word = rng.choice(("who", "what")) if fact.kind == "name" and not before.strip() else IN_PLACE[fact.kind]
        return _sentence_case((before + word + after).rstrip(" .;:!") + "?")
    words = _content_words(fact)
    keep = min(len(words), max(2, round(len(words) * rng.uniform(0.4, 0.9))))
    return f"{rng.choice(ASK[fact.kind])} {' '.join(rng.sample(words, keep))}?"


def _content_words(fact: Fact) -> list[str]:
    rest = f"{fact.sentence[: fact.start]} {fact.sentence[fact.end :]}"
    return [word for word in WORDS.findall(rest) if word.lower() not in COMMON]


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
