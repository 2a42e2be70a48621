"""Dreams put into a memory by hand, each with a word that stands nowhere else, and where such words are found on disk; an asker that says
something, and an ear that takes whatever it says for a question."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

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


def understood(prompts: Prompts, ids: Sequence[int], text: str) -> QuestionAnswer:
    """Stands for `cue.read_back` where a tiny model speaks, of whom nothing would be understood: other tokens, another question."""
    number = hashlib.sha256(bytes(str(ids), "ascii")).hexdigest()
    words = text.split()
    return QuestionAnswer(f"What is {number[:6]}?", words[int(number, 16) % len(words)])
