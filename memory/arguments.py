"""Arguments of the public functions: one of another kind than is meant is told in a sentence, not found deep inside. Knows no functions."""

from typing import Any

from nrem.memory.errors import UsageError

SHOWN = 40
"""Characters of an argument in a message."""


def check_kind(name: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise `UsageError`, naming the argument, where a value is of none of these kinds; `True` is no number."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in (kinds if isinstance(kinds, tuple) else (kinds,))):
        raise UsageError(f"{name}: got {_shown(value)}, expected {expected}")


def check_list(name: str, values: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """The same for each of several values; a text is not several."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__") or not hasattr(values, "__len__"):
        raise UsageError(f"{name}: got {_shown(values)}, expected a list of {expected}")
    for number, value in enumerate(values):
        check_kind(f"{name}[{number}]", value, kinds, expected)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        text = repr(value)
        return f"{text[:SHOWN]}..." if len(text) > SHOWN else text
    return f"a {type(value).__name__}"
