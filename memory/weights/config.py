"""The configuration of the fast weights. Knows nothing about models or tensors."""

from dataclasses import dataclass
from typing import Literal

from nrem.memory.errors import UsageError

Layers = Literal["upper-half", "upper-third", "upper-quarter", "all"]


@dataclass(frozen=True, kw_only=True)
class FastWeightsConfig:
    rank: int = 16
    """Rank r of the factors; engines such as vLLM accept 16, 32, 64, 128, 256, 320 or 512."""
    target: str = "auto"
    """Suffix of the adapted modules; "auto" is the MLP's output projection (`down_proj` in Llama, `mlp.c_proj` in GPT-2)."""
    layers: Layers = "upper-half"
    """Which decoder layers are adapted; what lies below them is computed once per text and reused by every pass."""
    segment_chunks: int | Literal["auto"] = "auto"
    """Chunks of one document that one adapter holds; the next ones go into a further segment of the memory, and a question is routed to one
    segment. 0: one adapter holds all; "auto" is what the protocol says, or 0 for an untrained one."""
    question_chunks: int | Literal["auto"] = "auto"
    """Most chunks that a question is answered from: a search finds them, and the adapter for the question is solved from their statistics
    alone, each by how well it matches. 1: the best one only; 0: all chunks of the segment; "auto" is what the protocol was measured to do
    best with, or 0 for an untrained one."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UsageError(f"fast_weights.rank: got {self.rank}, expected a whole number from 1; 16 is the default")
        for name in ("segment_chunks", "question_chunks"):
            if (value := getattr(self, name)) != "auto" and value < 0:
                raise UsageError(f'fast_weights.{name}: got {value}, expected "auto", 0 or a number of chunks')
