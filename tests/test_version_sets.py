"""The sets of versions: the oldest is what pyproject.toml says, and make, CI and the files name the same ones."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def lower_bounds() -> dict[str, str]:
    """The releases that `dependencies` begin with."""
    found = {}
    for line in PROJECT["dependencies"]:
        name, _, bound = line.partition(";")[0].strip().partition(">=")
        assert re.fullmatch(r"[\d.]+", bound), f"{line}: has no lower bound, or another one beside it"
        found[name] = bound
    return found


def padded(version: str) -> tuple[int, ...]:
    return (*(int(part) for part in version.split(".")), 0, 0)[:3]


def test_the_oldest_set_is_the_lower_bounds() -> None:
    lines = (ROOT / "constraints" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    oldest = dict(line.split("==") for line in lines if not line.startswith("#"))
    oldest["torch"] = re.findall(r"^OLDEST_TORCH \?= (\S+)$", MAKEFILE, re.MULTILINE)[0]
    assert {name: padded(bound) for name, bound in lower_bounds().items()} == {name: padded(pin) for name, pin in oldest.items()}


def test_no_pinned_release_is_older_than_the_oldest() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}
    assert all(padded(pinned[name]) >= padded(bound) for name, bound in lower_bounds().items())


def test_ci_runs_every_set() -> None:
    workflow = (ROOT / ".github" / "workflows" / "versions.yml").read_text(encoding="utf-8")
    sets = re.findall(r"set: \[(.*)\]", workflow)[0].split(", ")
    assert sets == ["pinned", "oldest", "newest"]
    for name in sets[1:]:
        assert f"\ntest-{name}: .venv-{name}/installed\n" in MAKEFILE
        assert (ROOT / "constraints" / f"{name}.txt").is_file()
