"""Mixed documents: passages of a file or of this project, between easy, known, foreign and random ones, cut into chunks with a kind each.

A chunk is asked two sets of questions: its probes, by which allocators decide, and others that only score: those given with the text, else
questions in another phrasing about facts that no probe asks for. Knows nothing about models.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.common import ROOT
from nrem.consolidation.probe.facts import find_facts
from nrem.consolidation.probe.probes import ProbeConfig, study_items, thin
from nrem.memory.stream.chunk import Chunk, QuestionAnswer, cut_chunks
from nrem.runtime.measure.questions import Question, QuestionedDocument, read_documents, read_questions

CountTokens = Callable[[str], int]
PIECE_CHARACTERS = 900
SCORING = 6
"""Most questions that score a chunk."""
GENERATED = ("easy", "easy", "known", "foreign", "junk", "junk")
NAMES = "Alder Birch Cedar Dogwood Elder Fir Gorse Hazel Ivy Juniper Larch Maple Oak Pine Rowan Spruce Thorn Willow Yew".split()
CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Germany": "Berlin", "Greece": "Athens",
    "Portugal": "Lisbon", "Austria": "Vienna", "Russia": "Moscow", "Cuba": "Havana", "Poland": "Warsaw", "Ireland": "Dublin",
}  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """A run of paragraphs of one kind."""

    kind: str
    text: str
    questions: tuple[QuestionAnswer, ...] = ()


@dataclass(frozen=True)
class MixedChunk:
    """One chunk of a mixed document."""

    document: str
    chunk: Chunk
    kind: str
    scoring: tuple[QuestionAnswer, ...]


@dataclass(frozen=True)
class MixedDocument:
    """Pieces in the order in which they are read."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(piece.text for piece in self.pieces)

    def units(self, count_tokens: CountTokens, chunk_tokens: int, probes: ProbeConfig, seed: int) -> list[MixedChunk]:
        """Its chunks, none of two pieces, so that each is of one kind."""
        found: list[MixedChunk] = []
        for piece in self.pieces:
            cut = cut_chunks(
                [piece.text],
                count_tokens=count_tokens,
                max_tokens=chunk_tokens,
                document=self.name,
                title="",
                first_index=len(found),
            )
            for chunk in cut:
                given = [q for q in piece.questions if chunk.start <= piece.text.find(q.answer) < chunk.end]
                found.append(MixedChunk(self.name, chunk, piece.kind, _scoring(chunk, given, probes, seed)))
        return found

    def live(self, count_tokens: CountTokens, chunk_tokens: int, probes: ProbeConfig, seed: int) -> QuestionedDocument:
        """The whole document with what scores its chunks as a session cuts them."""
        chunks = list(cut_chunks([self.text], count_tokens=count_tokens, max_tokens=chunk_tokens, document=self.name, title=""))
        given = [q for piece in self.pieces for q in piece.questions]
        asked = [q for chunk in chunks for q in _scoring(chunk, [q for q in given if q.answer in chunk.text], probes, seed)]
        questions = (Question(id=f"{i}", question=q.question, answers=(q.answer,)) for i, q in enumerate(dict.fromkeys(asked)))
        return QuestionedDocument(id=self.name, title="", text=self.text, group=self.name, questions=tuple(questions))


def _scoring(chunk: Chunk, given: Sequence[QuestionAnswer], probes: ProbeConfig, seed: int) -> tuple[QuestionAnswer, ...]:
    """The given questions, or those about facts that no probe asks for."""
    if given:
        return tuple(given[:SCORING])
    facts = find_facts(chunk)
    answers = {fact.answer.lower() for fact in thin(facts, probes.held_out_per_chunk)}
    rest = thin([fact for fact in facts if fact.answer.lower() not in answers], SCORING)
    return tuple(QuestionAnswer(item.question, item.answer) for item in study_items(rest, 1, seed))


def mixed_documents(data: str | None, count: int, seed: int = 0) -> list[MixedDocument]:
    """So many documents: a third to a half of each real text, the rest generated, in random order. Fewer where the texts run out."""
    real = list(_from_file(data) if data else _from_project())
    share = max(1, min(len(GENERATED), len(real) // count))
    documents = []
    for number in range(min(count, len(real))):
        rng = random.Random(f"{seed} {number}")
        pieces = real[number * share : (number + 1) * share] if data else real[number::count][:share]
        pieces = [*pieces, *(_generate(kind, rng) for kind in GENERATED)]
        rng.shuffle(pieces)
        documents.append(MixedDocument(f"mixed-{number}", tuple(pieces)))
    return documents


def _from_file(path: str) -> Iterator[Piece]:
    for document in read_documents(path):
        yield from _cut(document, "dense")


def _from_project() -> Iterator[Piece]:
    asked = read_questions(ROOT / "configs/demo_questions.jsonl")
    sources = (("dense", "configs/demo_document.md"), ("dense", "configs/other_document.md"), ("prose", "configs/unrelated.txt"))
    for kind, name in (*sources, ("prose", "README.md"), ("prose", "CONTRIBUTING.md"), ("prose", "LICENSE")):
        if (path := Path(ROOT / name)).is_file():
            questions = tuple(asked) if "demo" in name else ()
            text = path.read_text(encoding="utf-8")
            yield from _cut(QuestionedDocument(id=name, title="", text=text, group=name, questions=questions), kind)


def _cut(document: QuestionedDocument, kind: str) -> Iterator[Piece]:
    """Runs of whole paragraphs; a question belongs to the only run that has its answer."""
    runs: list[str] = []
    for paragraph in document.text.strip().split("\n\n"):
        if not paragraph[:1].isalnum() or " | " in paragraph:  # headings, tables, code
            continue
        if runs and len(runs[-1]) + len(paragraph) < PIECE_CHARACTERS:
            runs[-1] += f"\n\n{paragraph}"
        else:
            runs.append(paragraph)
    for run in runs:
        mine = [q for q in document.questions if q.answers[0] in run and sum(q.answers[0] in r for r in runs) == 1]
        yield Piece(kind, run, tuple(QuestionAnswer(q.question, q.answers[0]) for q in mine))


def _generate(kind: str, rng: random.Random) -> Piece:
    if kind == "junk":
        words = [f"{rng.getrandbits(32):08x}" for _ in range(40)]
        lines = "\n\n".join(" ".join(words[i : i + 8]) + "." for i in range(0, 40, 8))
        asked = [QuestionAnswer(f"Which word follows {words[i]}?", words[i + 1]) for i in range(2, 34, 8)]
        return Piece(kind, lines, tuple(asked))
    if kind == "known":
        countries = rng.sample(sorted(CAPITALS), 8)
        lines = " ".join(f"The capital of {c} is {CAPITALS[c]}, a city that many people visit." for c in countries)
        return Piece(kind, lines, tuple(QuestionAnswer(f"What is the capital of {c}?", CAPITALS[c]) for c in countries[:4]))
    names = rng.sample(NAMES, 6)
    if kind == "foreign":
        years = rng.sample(range(1700, 1990), 6)
        lines = " ".join(
            f"Das Haus {n} wurde im Jahr {y} von einem Müller gebaut und steht am Fluss." for n, y in zip(names, years, strict=True)
        )
        return Piece(
            kind, lines, tuple(QuestionAnswer(f"Wann wurde das Haus {n} gebaut?", str(y)) for n, y in zip(names[:4], years, strict=False))
        )
    colours = rng.sample(["red", "blue", "green", "black", "white", "yellow"], 2)
    line = " ".join(
        f"The door of {n} House is {c} and its bell has number {rng.randrange(10, 99)}." for n, c in zip(names, colours, strict=False)
    )
    asked = [QuestionAnswer(f"What colour is the door of {n} House?", c) for n, c in zip(names, colours, strict=False)]
    return Piece("easy", "\n\n".join([line] * 6), tuple(asked))
