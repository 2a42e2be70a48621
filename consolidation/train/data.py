"""What a protocol is trained on: passages with questions, drawn in groups that are written into one memory.

Three kinds of question: those given with the data, clozes made from the text by rules, and questions about another text, whose answer is
"not stated". Reads JSON lines with `document`/`questions` or `context`/`questions`, and `dreamt` pairs where a model asked some, gzipped or
not, and plain text (clozes only). Knows nothing about models.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from nrem.consolidation.probe.facts import find_facts
from nrem.consolidation.probe.probes import ProbeConfig, study_items
from nrem.memory.errors import DocumentError, MissingFileError
from nrem.memory.saved.json_lines import read_json_lines
from nrem.memory.stream.chunk import Chunk, QuestionAnswer, cut_chunks

NOT_STATED = "not stated"
LONGEST_QUESTION = 140
"""Characters; a few long questions would pad all the others of their batch."""
CLOZE_WORDS = 2
"""The phrasing that is never too long."""
PHRASINGS = ProbeConfig().num_phrasings
MOST_DREAMT = 6
"""Of the questions given with a passage."""


@dataclass(frozen=True)
class Passage:
    """A text of one chunk's length and what may be asked about it."""

    title: str
    text: str
    given: tuple[QuestionAnswer, ...]
    dreamt: tuple[QuestionAnswer, ...] = ()
    """What passes read beside it."""

    def dreaming(self, rng: random.Random, share: float, wrong: float) -> "Passage":
        """With some of its questions dreamt, each with a chance of `share`, unless dreams came with it; a few of their answers are another
        question's, as those of a model that asks itself are."""
        if self.dreamt or not share:
            return self
        some = [asked for asked in self.given if rng.random() < share][:MOST_DREAMT]
        mixed = [(q, rng.choice(self.given).answer if rng.random() < wrong else answer) for q, answer in some]
        return replace(self, dreamt=tuple(QuestionAnswer(q, answer) for q, answer in mixed))


@dataclass(frozen=True)
class PassageFile:
    """The passages of one file, by document."""

    name: str
    documents: tuple[tuple[Passage, ...], ...]

    @property
    def plain(self) -> bool:
        """Whether it is text without questions."""
        return not self.documents[0][0].given

    @property
    def num_passages(self) -> int:
        return sum(len(d) for d in self.documents)


def read_source(path: Path, count_tokens: Callable[[str], int], max_tokens: int) -> PassageFile:
    """A data file as passages of at most `max_tokens`; raises `MissingFileError` and `DocumentError` naming file and line."""
    if not path.exists():
        raise MissingFileError(f"{path}: no such file; give a .jsonl, .jsonl.gz or .txt file of passages")
    if ".jsonl" in path.name:
        by_title: dict[str, list[Passage]] = {}
        for where, row in read_json_lines(path, "a passage and questions"):
            passage = _passage(row, where)
            if count_tokens(f"{passage.title}\n\n{passage.text}") <= max_tokens:
                by_title.setdefault(passage.title, []).append(passage)
        documents = tuple(tuple(passages) for passages in by_title.values())
    else:
        documents = (tuple(_plain_passages(path, count_tokens, max_tokens)),)
    if not any(documents):
        raise DocumentError(f"{path}: no passage of at most {max_tokens} tokens in it; give other data or raise the limit")
    return PassageFile(path.name, documents)


def _passage(row: dict[str, Any], where: str) -> Passage:
    try:
        asked = [(q, a) for q, a in row["questions"]] if "context" in row else [(q["question"], q["answers"][0]) for q in row["questions"]]
        text = row["context"] if "context" in row else row["document"]
        dreamt = [(q, a) for q, a in row.get("dreamt", ())]
        if not all(isinstance(said, str) for said in (text, *(said for pair in [*asked, *dreamt] for said in pair))):
            raise TypeError("text, questions and answers are strings")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DocumentError(
            f"{where}: not a passage with questions ({error!r}); expected document, questions: [{{question, answers}}]"
        ) from None
    given, own = (tuple(QuestionAnswer(q, a) for q, a in pairs) for pairs in (asked, dreamt))
    return Passage(str(row.get("title", "")), text, given, own)


def _plain_passages(path: Path, count_tokens: Callable[[str], int], max_tokens: int) -> Iterator[Passage]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not UTF-8 text near byte {error.start}; give text in UTF-8, or JSON lines ending in .jsonl") from None
    for chunk in cut_chunks([text], count_tokens=count_tokens, max_tokens=max_tokens - 16, document=path.name, title=""):
        if len(clozes(chunk.text, "", CLOZE_WORDS)) >= 3:
            yield Passage("", chunk.text, ())


@lru_cache(maxsize=4096)
def clozes(text: str, title: str, phrasing: int) -> tuple[QuestionAnswer, ...]:
    """All facts of a text, asked in one phrasing."""
    chunk = Chunk(document="", title=title, index=0, start=0, end=len(text), text=text, num_tokens=0)
    made = (QuestionAnswer(p.question, p.answer) for p in study_items(find_facts(chunk), phrasing, 0))
    return tuple(q for q in made if len(q.question) <= LONGEST_QUESTION)


class Sampler:
    """Draws groups of passages and their questions; the same generator state gives the same draw."""

    def __init__(self, sources: Sequence[PassageFile], weights: Sequence[float], cloze_share: float) -> None:
        self.sources, self.weights, self.cloze_share = sources, weights, cloze_share
        apart = [len(s.documents) > 1 for s in sources]
        self._mixing = [s for s, several in zip(sources, apart, strict=True) if several] or list(sources)
        """Texts of one document only, such as stories about the same four people, contradict one another when they are written together."""
        self._mixing_weights = [w for w, several in zip(weights, apart, strict=True) if several] or list(weights)

    def group(self, rng: random.Random, size: int) -> list[Passage]:
        """Passages to be written together: neighbours of one document, and, where it has fewer, neighbours of others behind them."""
        if size == 1:
            document = self._document(rng, rng.choices(self.sources, self.weights)[0])
            return [rng.choice(document)]
        out: list[Passage] = []
        while len(out) < size:
            document = self._document(rng, rng.choices(self._mixing, self._mixing_weights)[0])
            start = rng.randrange(max(1, len(document) - (size - len(out)) + 1))
            out += document[start : start + size - len(out)]
        return out

    @staticmethod
    def _document(rng: random.Random, source: PassageFile) -> tuple[Passage, ...]:
        return rng.choices(source.documents, [len(d) for d in source.documents])[0]

    def questions(self, rng: random.Random, passages: Sequence[Passage], count: int) -> list[QuestionAnswer]:
        """`count` questions about the passages, as evenly over them as it goes."""
        order = [p for _ in range(-(-count // len(passages))) for p in rng.sample(list(passages), len(passages))]
        return [self.question(rng, p) for p in order[:count]]

    def question(self, rng: random.Random, passage: Passage) -> QuestionAnswer:
        """One question about a passage, of any kind that it has."""
        made = clozes(passage.text, passage.title, rng.randrange(PHRASINGS)) if not passage.given or rng.random() < self.cloze_share else ()
        return rng.choice(made or passage.given or clozes(passage.text, passage.title, CLOZE_WORDS))


def alike(rng: random.Random, passages: Sequence[Passage], count: int) -> list[Passage]:
    """So many of the passages, of about equal length: padding is read like text."""
    start = rng.randrange(len(passages) - count + 1)
    return sorted(passages, key=lambda p: len(p.text))[start : start + count]
