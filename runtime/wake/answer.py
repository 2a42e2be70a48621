"""An answer and its price. Knows nothing about how it was found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer and its price."""

    question: str
    answer: str
    prompt_tokens: int
    """Tokens that were read before the answer, without those of a thought."""
    document_tokens: int
    """Tokens of the prompt that come from a text; 0 closed book."""
    answer_tokens: int
    fet: float
    """Forward-equivalent tokens; the adapter's own products are left out, a twentieth on the default model."""
    seconds: float
    confidence: float = 0.0
    """Probability that the answer is right, where `nrem ceiling` has calibrated it for the protocol and this way of answering: so often
    were the answers of that measurement right that had this `token_confidence`. Elsewhere `token_confidence` itself."""
    token_confidence: float = 0.0
    """Probability that the model gave to the answer, per token (geometric mean), 0 to 1. Not the probability that it is right."""
    way: str = "direct"
    """How it was found, as `--way` takes it: a row of `ways.WAYS`, with its amount where that is not the usual one."""
    amount: int = 0
    """The way's amount, such as rounds of search or votes at most; 0 for a way that has none."""
    leans_on: tuple[dict[str, Any], ...] = ()
    """The chunks in the prompt, or slept on again: document, chunk (its index), start and end (offsets in the document), heading."""
    passes: int = 0
    """Passes that were spent on this question alone, since the first answer was not sure enough; their FET and seconds are in its price."""
    thought_tokens: int = 0
    """Tokens that were generated before the answer."""
    thought: str = ""
    votes: int = 0
    """Answers that were drawn; 0 where there was no vote."""
    agreement: float = 0.0
    """Share of the votes that this answer got."""
    not_stated: float = 0.0
    """Probability that decoding gave to the beginning of "not stated" where the answer begins."""
    stated: bool = True
    """Whether the document seems to say it: false where the answer is "not stated", or that was as likely as `answer.not_stated`."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Thought(NamedTuple):
    """What was generated between a question and its answer."""

    ids: Sequence[int]
    text: str
    seconds: float
    fet: float
    """Of the prompt that it was thought behind, too: the answer's is another, and is read again."""
