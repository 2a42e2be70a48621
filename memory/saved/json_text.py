"""JSON as everything of nrem writes it: a value that is no finite number stands as `null`, since JSON has no other word for it."""

import json
import math
from typing import Any


def json_text(values: Any, **options: Any) -> str:
    """`json.dumps` without `NaN` and `Infinity`, which are not JSON.

    >>> json_text({"nll": float("nan"), "recall": [1.0, float("inf")]})
    '{"nll": null, "recall": [1.0, null]}'
    """
    try:
        return json.dumps(values, allow_nan=False, **options)
    except ValueError:  # rare, so it is looked for only then
        return json.dumps(_finite(values), allow_nan=False, **options)


def parse_json(text: str | bytes, **options: Any) -> Any:
    """`json.loads`, whose every refusal is a `ValueError`: also that of what is nested too deeply.

    >>> parse_json("[1, null]")
    [1, None]
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inside) for inside in value]
    return value
