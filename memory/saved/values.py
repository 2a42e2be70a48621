"""The kinds of values of a record, for pydantic: what a `memory.json` may hold where. Knows no keys."""

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

KNOWN_KEYS_ONLY = ConfigDict(extra="forbid")

MOST = 2**53
"""Whole numbers above are not exact in every reader of JSON."""


def _or_nan(value: Any) -> Any:
    """A measurement that came to no number was written as `null`."""
    if value is None:
        return math.nan
    if isinstance(value, float) and math.isinf(value):
        raise ValueError("a finite number or null")
    return value


Count = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Whole = Annotated[int, Field(strict=True, ge=-MOST, le=MOST)]
Place = Annotated[int, Field(strict=True, ge=-1, le=MOST)]
"""An index; -1 for none."""
Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Measured = Annotated[float, BeforeValidator(_or_nan), Field(strict=True)]
"""NaN where measuring gave no number."""
Flag = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True, max_length=100_000)]
Hash = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
HashOrNone = Annotated[str, Field(strict=True, pattern=r"^([0-9a-f]{64})?$")]
Exit = Annotated[str, Field(strict=True, pattern=r"^(solved|hopeless|cap|budget|empty)?$")]
"""Why a chunk left a sleep, `consolidation.allocate.allocator.Exit`, and those that never were in one."""
