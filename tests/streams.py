"""Documents that are longer than a tiny window, and arrive in pieces."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nrem.consolidation.events import Event, Listener
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from tests import tiny

LONG = "\n\n".join(tiny.STORY.replace("1871", str(1871 + i)).replace("Frost", f"Frost the {i}th") for i in range(3))
EMPTY = "." * 300 + "\n\n"
"""A chunk that says nothing."""
RULES = pytest.mark.parametrize("rule", ["gradient", "keyed"])


def config_for(base: Base, rule: str, folder: Path, *settings: str) -> Config:
    if rule == "keyed":
        target = folder / "protocol"
        if not target.exists():
            save_protocol(target, tiny.make_keyed_protocol(base), base.identity, {})
        settings = (*settings, f"protocol.name={target}")
    return tiny.make_config("guard.enabled=false", *settings)


def in_pieces(text: str, size: int = 50) -> Document:
    """A document that arrives in pieces, none of them whole."""

    def pieces() -> Iterator[str]:
        return (text[i : i + size] for i in range(0, len(text), size))

    return Document(name="long.txt", title="Orrin", pieces=pieces)


def equal(a: Memory, b: Memory) -> bool:
    mine, theirs = a.weights.tensors(), b.weights.tensors()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


class Killed(Exception):
    """The process dies here."""


def dies_after(lived: int, kind: type[Event]) -> Listener:
    """Hears so many events of a kind, and dies of the next."""
    heard = 0

    def listener(event: Event) -> None:
        nonlocal heard
        heard += isinstance(event, kind)
        if heard > lived:
            raise Killed

    return listener
