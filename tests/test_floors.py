"""The house drawn by its imports: floors of rooms, no circle of files, and no arrow back up."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("memory", "consolidation", "runtime")
ROOMS: tuple[tuple[str, ...], ...] = (
    ("memory.errors", "memory.names"),
    ("memory.finite", "memory.arguments"),
    ("memory.stream",),
    ("memory.saved",),
    ("memory.text", "memory.weights", "memory.library"),
    ("memory.memory",),
    ("memory.rebuild",),
    ("consolidation.text_ids", "consolidation.resample", "consolidation.budget", "consolidation.logistic"),
    ("consolidation.prompts",),
    ("consolidation.read", "consolidation.guard_config", "consolidation.events"),
    ("consolidation.allocate",),
    ("consolidation.probe", "consolidation.guard"),
    ("consolidation.write",),
    ("consolidation.dream",),
    ("consolidation.protocol", "consolidation.sleep"),
    ("consolidation.train",),
    ("runtime.readers", "runtime.checks.check"),
    ("runtime.wake.config",),
    ("runtime.config",),
    ("runtime.models",),
    ("runtime.opened", "runtime.show"),
    ("runtime.parts",),
    ("runtime.without_effect",),
    ("runtime.wake",),
    ("runtime.session",),
    ("runtime.measure",),
    ("runtime.tune", "runtime.checks", "runtime.route"),
    ("runtime.scaling",),
    ("runtime.commands",),
)
"""Floors from the ground up; a room, or a file that stands by itself, may only import what lies below it, and its own."""
GROUND = {
    f"runtime.wake.{file}"
    for file in ("config", "ways", "way", "answer", "normal", "snippet", "direct", "search", "read", "ensemble", "think", "vote", "again")
}
"""Files of a room that stand on the floor of its configuration: what settings and help texts are made of, without a model."""


def modules() -> dict[str, Path]:
    """Every module by its name, `nrem.` left out."""
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py")
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


def imports() -> dict[str, set[str]]:
    """What each module imports of the others, wherever the statement stands."""
    found, names = {}, modules()
    for name, path in names.items():
        mine: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                mine |= {full.removeprefix("nrem.") for alias in node.names for full in (node.module, f"{node.module}.{alias.name}")}
            elif isinstance(node, ast.Import):
                mine |= {alias.name.removeprefix("nrem.") for alias in node.names}
        found[name] = (mine & names.keys()) - {name}
    return found


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that can be reached from one another (Tarjan's strongly connected components of two or more)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        open_.append(node)
        for other in graph[node]:
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in open_:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            cut = open_.index(node)
            if len(open_) - cut > 1:
                found.append(sorted(open_[cut:]))
            del open_[cut:]

    for node in graph:
        if node not in number:
            visit(node)
    return found


def floor_of(module: str) -> tuple[int, str]:
    """The floor of a module, and the room that puts it there."""
    if module in GROUND:
        return next(i for i, rooms in enumerate(ROOMS) if "runtime.wake.config" in rooms), "runtime.wake.config"
    places = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (room := ".".join(parts[:length])) in places:
            return places[room], room
    raise AssertionError(f"{module} stands in no room of ROOMS")


def up(graph: Mapping[str, set[str]]) -> list[str]:
    """Imports that do not go down to a lower floor, and not within a room either."""
    out = []
    for module, others in graph.items():
        mine, room = floor_of(module)
        for other in others:
            theirs, their_room = floor_of(other)
            if their_room != room and theirs >= mine:
                out.append(f"{module} (floor {mine}) -> {other} (floor {theirs})")
    return sorted(out)


def test_no_circle_of_files_and_no_arrow_back_up() -> None:
    graph = imports()
    back = up(graph)
    for number, rooms in reversed(list(enumerate(ROOMS))):
        print(f"floor {number:2}: " + ", ".join(f"{room} ({sum(floor_of(m)[1] == room for m in graph)})" for room in rooms))
    print(f"{len(graph)} files, circles {len(circles(graph))}, arrows back up {len(back)}")
    assert circles(graph) == []
    assert back == []


def test_every_room_has_files() -> None:
    used = {floor_of(module)[1] for module in modules()}
    assert used == {room for rooms in ROOMS for room in rooms}


def test_a_circle_and_an_arrow_up_are_noticed() -> None:
    graph = {"memory.errors": {"memory.stream.chunk"}, "memory.stream.chunk": {"memory.errors"}, "memory.memory": {"runtime.parts"}}
    graph["runtime.parts"] = set()
    assert circles(graph) == [["memory.errors", "memory.stream.chunk"]]
    assert any("memory.memory" in arrow and "runtime.parts" in arrow for arrow in up(graph))


@pytest.mark.parametrize("folder", FOLDERS)
def test_tests_mirror_the_rooms(folder: str) -> None:
    rooms = {path.parent.relative_to(ROOT) for path in modules().values() if path.relative_to(ROOT).parts[0] == folder}
    tested = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / folder).rglob("test_*.py")}
    assert tested <= rooms, "tests of a room that is not there"
