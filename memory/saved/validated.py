"""A value of a known kind out of JSON that may be damaged or somebody else's: types, finite numbers, no key too many. Knows no kinds."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""For `__pydantic_config__` of a dataclass: numbers are numbers, and finite; what a class asserts of itself is asked for as well."""
SHOWN = 60
"""Characters of a value in a message."""


def validated(kind: type[T], text: str | bytes) -> T:
    """The value; raises `ValueError`, which says in a few words of one line where what is wrong."""
    try:
        found: T = _adapter(cast(Hashable, kind)).validate_json(text)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    return found


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, as `gains[3].mean is 'x', expected a valid number`."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    path = " ".join(path.split())[:SHOWN] or "the file"
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{path} is missing"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{path} is no key of this nrem"
    said = " ".join(first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").split())
    if first["type"] in ("json_invalid", "value_error", "assertion_error"):
        return said[:200]
    said = said.removeprefix("Input should be ")
    return f"{path} is {str(first['input'])[:SHOWN]!r}, expected {said[:1].lower() + said[1:]}"


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Building one takes longer than reading a value."""
    return TypeAdapter(cast(Any, kind))
