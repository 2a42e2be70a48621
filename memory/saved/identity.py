"""Which base model a memory belongs to: the hashes that `fingerprint` takes of configuration, weights and tokenizer. Plain values."""

from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class BaseIdentity:
    """Equal hashes mean that a memory made on one model can be attached to the other."""

    name: str
    revision: str
    config_sha256: str
    weights_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    dtype: str

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, str]) -> Self:
        return cls(**values)

    def short(self) -> str:
        """For messages: `SmolLM2-135M-Instruct (weights 3f9c1a)`."""
        return f"{self.name.rsplit('/', 1)[-1]} (weights {self.weights_sha256[:6]})"

    def mismatch(self, other: "BaseIdentity") -> str:
        """What differs in a way that matters, in words; empty when a memory of one fits the other. Name and dtype do not matter."""
        parts = []
        for part in ("config", "weights", "tokenizer", "chat_template"):
            mine, theirs = getattr(self, f"{part}_sha256"), getattr(other, f"{part}_sha256")
            if mine != theirs:
                parts.append(f"{part.replace('_', ' ')} {theirs[:6] or 'none'} instead of {mine[:6] or 'none'}")
        return ", ".join(parts)
