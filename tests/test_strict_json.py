"""JSON has no NaN: everything that nrem writes goes through `json_text`, which writes `null`."""

import ast
import math
from pathlib import Path

import pytest

from nrem.memory.saved.json_text import json_text

ROOT = Path(__file__).parent.parent
HASHES_ONLY = {"memory/saved/fingerprint.py", "memory/saved/json_text.py"}
"""The first writes no file: it hashes a configuration."""


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value: float) -> None:
    assert json_text({"a": [1.5, value], "b": {"c": value}, "d": (value,)}) == '{"a": [1.5, null], "b": {"c": null}, "d": [null]}'


def test_nothing_writes_json_in_another_way() -> None:
    found = []
    for path in (path for folder in ("memory", "consolidation", "runtime") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("dumps", "dump") and isinstance(node.value, ast.Name):
                found.append(path.relative_to(ROOT).as_posix())
    assert set(found) == HASHES_ONLY
