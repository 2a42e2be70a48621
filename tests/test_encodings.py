"""Every text file and every pipe that is read or written as text names its encoding: the locale must make no difference.

Ruff's PLW1514 holds most of it and knows types; this finds the calls whose types it cannot tell, and programs that are run.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("memory", "consolidation", "runtime", "nrem", "benchmarks", "tests", "configs")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if not any(p.is_symlink() for p in path.relative_to(ROOT).parents)
)
PLACES = {"read_text": 0, "write_text": 1, "TextIOWrapper": 1}
"""How many arguments stand before the encoding."""


def silent(source: str) -> list[int]:
    """The lines of calls that leave the encoding to the locale."""
    return sorted(node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _is_silent(node))


def _is_silent(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given or None in given:
        return False
    if any(isinstance(given.get(key), ast.Constant) and given[key].value is True for key in ("text", "universal_newlines")):  # type: ignore[attr-defined]
        return True
    if name == "open":
        return _opens_text(call, given.get("mode"))
    if name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"):
        return "mode" in given and "b" not in ast.unparse(given["mode"])
    if name == "fdopen":
        return len(call.args) < 2 or "b" not in ast.unparse(call.args[1])
    return name in ("read_text", "write_text", "TextIOWrapper") and len(call.args) <= PLACES[name]


def _opens_text(call: ast.Call, mode: ast.expr | None) -> bool:
    """`open(path)` and `path.open()`; a method that is given something else than a mode opens no file of the system."""
    function = isinstance(call.func, ast.Name)
    position = 1 if function else 0
    if mode is None and len(call.args) > position:
        mode = call.args[position]
        if not function and not (isinstance(mode, ast.Constant) and isinstance(mode.value, str)) and not isinstance(mode, ast.IfExp):
            return False
    elif mode is None and not function and call.keywords:
        return False
    return mode is None or "b" not in ast.unparse(mode)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_file_names_its_encoding(path: Path) -> None:
    assert silent(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("(a / b).read_text()", [1]),
        ("x = 1\np.write_text(text)", [2]),
        ("open(p)", [1]),
        ("open(p, 'w')", [1]),
        ("p.open()", [1]),
        ("p.open('a')", [1]),
        ("p.open('r+b' if old else 'w')", []),
        ("run(c, text=True)", [1]),
        ("TextIOWrapper(b)", [1]),
        ("os.fdopen(3)", [1]),
        ("NamedTemporaryFile(mode='w')", [1]),
        ("p.read_text('utf-8'); p.write_text(t, encoding='utf-8'); p.open('rb'); open(p, 'w+b'); os.fdopen(3, 'rb')", []),
        ("run(c, text=True, encoding='utf-8'); run(c); Journal.open(folder); reader.open(s, tell=t); NamedTemporaryFile()", []),
    ],
)
def test_a_call_that_names_none_is_noticed(source: str, lines: list[int]) -> None:
    assert silent(source) == lines
