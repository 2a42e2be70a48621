"""A property: what is read from outside is a good value or one sentence of nrem, never another error, never without an end."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from nrem.memory.errors import NremError

SECONDS = 10.0
"""That anything of this size may take."""


class Property(NamedTuple):
    """What is drawn, and what must then hold: it ends, at most by raising `NremError`."""

    drawn: st.SearchStrategy[Any]
    holds: Callable[[Path, Any], object]
    """Given an empty folder and what was drawn; an `AssertionError` is a law that does not hold."""


def outcome(one: Property, folder: Path, drawn: Any) -> str:
    """good | refused; raises whatever else comes, `TimeoutError` after `SECONDS`, and `AssertionError` for a refusal of several lines."""
    try:
        with _at_most(SECONDS):
            one.holds(folder, drawn)
    except NremError as error:
        check_sentence(str(error))
        return "refused"
    return "good"


def check_sentence(text: str) -> None:
    assert text.strip(), "a refusal without a word"
    assert len(text) < 2000, f"a refusal of {len(text)} characters: {text[:200]}"
    assert "\n" not in text, f"a refusal of several lines: {text}"


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"it took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
