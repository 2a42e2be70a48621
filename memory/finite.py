"""Numbers of a configuration, from whatever caller: NaN passes every comparison with a bound. Knows no keys."""

import math
from dataclasses import fields
from typing import Any

from nrem.memory.errors import UsageError


def check_finite(section: Any, name: str) -> None:
    """Raise `UsageError`, naming the key, where a number of a section, a dataclass, is NaN or infinite."""
    for field in fields(section):
        value = getattr(section, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name}.{field.name}: got {value}, expected a finite number")
