"""Numbers of a configuration, and of tensors, from whatever caller: NaN passes every comparison with a bound. Knows no keys."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from nrem.memory.errors import NremError, UsageError


def check_finite(section: Any, name: str) -> None:
    """Raise `UsageError`, naming the key, where a number of a section, a dataclass, is NaN or infinite."""
    for field in fields(section):
        value = getattr(section, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name}.{field.name}: got {value}, expected a finite number")


def not_finite(tensors: Mapping[str, Any]) -> str:
    """The name of the first tensor with NaN or infinity in it; "" where there is none. Needs no import of torch."""
    return next((key for key, tensor in tensors.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())), "")


def check_finite_tensors(tensors: Mapping[str, Any], where: str, error: type[NremError], advice: str = "sleep again") -> None:
    """Raise `error`, naming `where` and the tensor, for the first one with NaN or infinity in it."""
    if bad := not_finite(tensors):
        raise error(f"{where} holds values that are not finite ({bad}); {advice}")
