"""What may import what, and that the first screen of the program comes without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ("memory", "consolidation", "runtime")
FILES = sorted(path for folder in ORDER for path in (ROOT / folder).rglob("*.py"))
HEAVY = ("torch", "transformers", "peft", "numpy")


def imported(source: str) -> set[str]:
    """The full names that a module imports, wherever the statement stands; our version number is no part of anything."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] != ["__version__"]:
            names |= {"." * node.level + (node.module or "")} | {f"{node.module}.{alias.name}" for alias in node.names if not node.level}
    return names


def wrong_imports(folder: str, source: str) -> set[str]:
    """What a module of `folder` may not import: what lies above it, relative names, and our folders by anything but their full names."""
    above = ORDER[ORDER.index(folder) + 1 :]
    first = {name: name.split(".")[1] if name.startswith("nrem.") else "" for name in imported(source)}
    return {name for name, part in first.items() if part in above or name == "nrem" or name.startswith(".") or name.split(".")[0] in ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    assert wrong_imports(path.relative_to(ROOT).parts[0], path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from nrem.runtime.session.session import Session", {"nrem.runtime.session.session", "nrem.runtime.session.session.Session"}),
        ("def f():\n    import nrem.consolidation.sleep", {"nrem.consolidation.sleep"}),
        ("from nrem import Session", {"nrem"}),
        ("from memory.chunk import Chunk", {"memory.chunk", "memory.chunk.Chunk"}),
        ("from .chunk import Chunk", {".chunk"}),
        ("from nrem.memory.stream.chunk import Chunk\nimport torch", set()),
    ],
)
def test_a_wrong_direction_is_noticed(source: str, wrong: set[str]) -> None:
    assert wrong_imports("memory", source) == wrong


def heavy_after(code: str) -> list[str]:
    """Which heavy libraries a fresh interpreter holds after running this code."""
    check = f"{code}\nimport sys\nprint('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8")
    return done.stdout.splitlines()[-1].split()[1:]


def test_importing_nrem_is_light() -> None:
    assert heavy_after("import nrem; dir(nrem); nrem.__version__") == []


def after_command(arguments: list[str]) -> list[str]:
    """Which heavy libraries a fresh interpreter holds after running this command."""
    call = "try:\n    from nrem.runtime.commands.main import main; main()\nexcept SystemExit:\n    pass"
    return heavy_after(f"import sys; sys.argv = ['nrem', *{arguments!r}]\n{call}")


@pytest.mark.parametrize("arguments", [["--help"], ["ls", "tests"]])
def test_help_and_a_listing_are_light(arguments: list[str]) -> None:
    assert after_command(arguments) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "tests", "Who?"],
        ["ask", "m", ""],
        ["chat", "tests"],
        ["sleep", "none.md", "-o", "m"],
        ["sleep", "README.md", "-o", "tests"],
        ["sleep", "README.md", "-o", "m", "--model", "none"],
        ["sleep", "README.md", "-o", "m", "--set", "sleep.pases=1"],
    ],
)
def test_what_is_refused_is_refused_before_a_model_library_is_imported(arguments: list[str]) -> None:
    assert set(after_command(arguments)) <= {"numpy"}


@pytest.mark.parametrize("code", ["import torch", "from nrem import Session"])
def test_the_check_notices_torch(code: str) -> None:
    assert "torch" in heavy_after(code)


def test_the_public_names_are_there() -> None:
    import nrem

    assert set(dir(nrem)) == set(nrem.__all__)
    assert all(getattr(nrem, name) is not None for name in nrem.__all__)
    with pytest.raises(AttributeError, match="'nrem' has no attribute 'Sesion'"):
        _ = nrem.Sesion
