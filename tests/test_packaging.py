"""The package is the folders on disk, and the wheel holds all of it."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("memory", "consolidation", "runtime", "configs")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def folders_with_code() -> set[str]:
    """Every folder of the source tree that holds modules, as an import name; configs holds data."""
    found = {path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    return {"nrem", *(f"nrem.{'.'.join(path.parts)}" for path in found)}


def test_the_package_list_is_the_folders_on_disk() -> None:
    assert set(SETUPTOOLS["packages"]) == folders_with_code()
    assert {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()} == {
        "nrem": ROOT / "nrem",
        **{f"nrem.{folder}": ROOT / folder for folder in FOLDERS},
    }


def test_the_links_of_the_checkout_are_relative_and_lead_to_the_folders() -> None:
    for folder in FOLDERS:
        link = ROOT / "nrem" / folder
        assert link.is_symlink()
        assert os.readlink(link) == f"../{folder}"


def test_every_release_is_pinned() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pinned = {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines)}
    assert all(pinned.values()), "a line of constraints.txt is not NAME==VERSION"
    wanted = [
        *PROJECT["project"]["dependencies"],
        *(line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra),
    ]
    names = {line.split(";")[0].split(">")[0].split("=")[0].split("[")[0].strip().lower() for line in wanted}
    assert names - {"nrem"} <= pinned.keys()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that no earlier build has a part in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "memories"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("nrem-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    modules = {f"nrem/{path.relative_to(ROOT)}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    kinds = (".toml", ".md", ".jsonl", ".txt", ".json", ".safetensors")
    data = {f"nrem/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*") if path.suffix in kinds}
    assert modules | data | {"nrem/__init__.py", "nrem/py.typed"} <= held
    assert not [name for name in held if "test" in name.lower()]


@pytest.mark.slow
def test_the_wheel_imports_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import importlib, pathlib, sys\n"
        "sys.path.insert(0, '.')\n"
        "import nrem\n"
        "root = pathlib.Path('nrem')\n"
        "for path in sorted(root.rglob('*.py')):\n"
        "    if path.stem != '__main__':\n"
        "        name = '.'.join(path.with_suffix('').parts).removesuffix('.__init__')\n"
        "        module = importlib.import_module(name)\n"
        "        assert pathlib.Path(module.__file__).resolve() == path.resolve(), module.__file__\n"
        "from nrem.runtime.config import load_config, presets\n"
        "print(*presets(), load_config().seed)\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["default", "fast", "gpu-4bit", "0"]
