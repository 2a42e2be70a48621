"""The configuration of the guard. Knows nothing about models."""

from dataclasses import dataclass

from nrem.memory.errors import UsageError
from nrem.memory.finite import check_finite


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    max_kl: float = 1.0
    """Largest mean KL(base || attached) on unrelated text, nats per token."""
    max_perplexity_ratio: float = 2.0
    """Largest perplexity on unrelated text, relative to the base's."""
    min_recall_gain: float = 0.0
    """Recall of the sleep's held-out probes must have risen by at least this (0: it must not have fallen), or else their answer NLL have
    fallen: with a handful of probes, one that is lost says little by itself."""
    unrelated_tokens: int = 256
    """Most tokens of the unrelated text that are read: one for 16 that were slept on, and 32 at least."""
    enabled: bool = True
    """Whether a sleep that fails is rolled back."""

    def __post_init__(self) -> None:
        check_finite(self, "guard")
        if self.max_kl <= 0 or self.max_perplexity_ratio <= 0 or self.unrelated_tokens < 2:
            raise UsageError("guard: max_kl and max_perplexity_ratio must be above 0 and unrelated_tokens 2 or more")
