"""Settings of dreams."""

from dataclasses import dataclass

from nrem.memory.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class DreamConfig:
    per_sentence: int = 2
    """Questions that the model asks itself about every sentence of a chunk before it is slept on, and answers from the text; passes read
    them beside it. 0 for none. Needs a protocol with an asker; under a budget none are asked."""
    temperature: float = 0.8
    """Of the second and further questions about a sentence; the first is the likeliest."""
    most_doubt: float = 0.1
    """What is kept of them: answers that the reader, with the text in its prompt, is this sure of; mean NLL in nats per token."""

    def __post_init__(self) -> None:
        if not 0 <= self.per_sentence <= 16:
            raise UsageError(f"per_sentence: got {self.per_sentence}, expected 0 to 16 questions")
        if not 0 < self.temperature <= 10:
            raise UsageError(f"temperature: got {self.temperature:g}, expected more than 0, and at most 10")
        if not self.most_doubt >= 0:
            raise UsageError(f"most_doubt: got {self.most_doubt:g}, expected 0 or more nats per token")
