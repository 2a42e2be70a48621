"""Dreams put into a memory by hand, each with a word that stands nowhere else, and where such words are found on disk; an asker that says
something, and ears that take whatever is said for questions and answers."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nrem.consolidation.dream import dreamer
from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk, QuestionAnswer

WORD = "Zebulon"


def word(chunk: Chunk) -> str:
    """By its text, so that it stays when chunks move up."""
    return f"{WORD}{sum(map(ord, chunk.text))}x{len(chunk.text)}"


def dreaming(chunk: Chunk) -> Chunk:
    """Two questions about it."""
    asked = (QuestionAnswer(f"Who asked {word(chunk)}?", "the keeper"), QuestionAnswer("What was the word?", word(chunk)))
    return replace(chunk, dreamt=asked)


def with_dreams(memory: Memory) -> Memory:
    """The same memory, every chunk of its text dreamt about."""
    assert memory.text is not None
    return memory.with_scratch_text(map(dreaming, memory.text))


def dreams_of(memory: Memory) -> list[tuple[QuestionAnswer, ...]]:
    return [chunk.dreamt for chunk in memory.text or ()]


def counts_of(memory: Memory) -> list[int]:
    """As the record has them."""
    return [chunk.dreamt for chunk in memory.record.chunks]


def holding(folder: Path, words: Iterable[str] = (WORD,)) -> list[str]:
    """Files, hidden ones too, that hold one of these words."""
    wanted = [word.encode() for word in words]
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path.relative_to(folder).as_posix() for path in files if any(one in path.read_bytes() for one in wanted)]


def make_asker(protocol: Protocol, rank: int = 3, scale: float = 0.1, seed: int = 1) -> Asker:
    """An asker that has learned something, of this scale."""
    assert protocol.learned is not None
    asker = Asker.like(protocol.learned, rank)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in asker.parameters():
            p.add_(scale * torch.randn(p.shape, generator=generator))
    return asker


def asked(prompts: Prompts, ids: Sequence[int]) -> str:
    """Stands for `cue.question_said` where a tiny model speaks, of whom nothing would be understood: other tokens, another question."""
    return f"What is {_hash(ids)[:6]}?"


def answered(prompts: Prompts, ids: Sequence[int], text: str) -> str:
    """And for `cue.answer_said`: a word of the text."""
    words = text.split()
    return words[int(_hash(ids), 16) % len(words)]


def understand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a dreamer take whatever is said for questions and answers."""
    monkeypatch.setattr(dreamer, "question_said", asked)
    monkeypatch.setattr(dreamer, "answer_said", answered)


def _hash(ids: Sequence[int]) -> str:
    return hashlib.sha256(bytes(str(list(ids)), "ascii")).hexdigest()
