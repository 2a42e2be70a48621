"""A check: one thing that `nrem verify` or `nrem doctor` looked at."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """What was looked at, whether it is well, and what was found."""

    name: str
    ok: bool
    found: str
    needed: bool = True
    """False where nrem runs without it."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
