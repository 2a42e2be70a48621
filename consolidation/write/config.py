"""The configuration of writing with nothing learned; a trained protocol decides for itself."""

from dataclasses import dataclass
from typing import Literal

from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    objective: Literal["study", "next-token"] = "study"
    """What a pass learns from: study items made of the chunk's facts, or the raw text (control arm)."""
    label_smoothing: float = 0.1
    """Share of the target probability spread over the vocabulary; keeps wrong answers from being sure of themselves."""
    step_size: float = 3e-3
    """Step size eta; per element for "elementwise", of the whole adapter's step for "global"."""
    warm_up: int = 8
    """The first writes of a memory grow linearly to the full step size."""
    normalise: Literal["elementwise", "global"] = "elementwise"
    """Divide the gradient by its running second moment per element (Adam), or by its norm over the whole adapter."""
    beta1: float = 0.9
    """Decay of the running mean of gradients ("elementwise")."""
    beta2: float = 0.95
    """Decay of the running mean of squared gradients ("elementwise")."""
    distill_weight: float = 0.0
    """Weight of the divergence from the same model with the chunk in its context; 0 leaves the teacher out."""
    distill_top: int = 20
    """How many of the teacher's most likely tokens are kept."""
    items_per_write: int = 32
    """Study items after which a pass writes, each time a mixture over all of its chunks."""
    batch_tokens: int = 2048
    """Padded tokens computed at once; bounds the memory of a pass."""

    def __post_init__(self) -> None:
        check_finite(self, "study")
        if not 0 < self.step_size <= 1000:
            raise UsageError(f"study.step_size: got {self.step_size}, expected a number above 0, at most 1000; 0.003 is the default")
        if self.distill_weight < 0 or self.distill_top < 1:
            raise UsageError("study.distill_weight must be 0 or more and study.distill_top 1 or more")
