"""An unpacked model is made once, whole, and made again when it was damaged."""

import os
import shutil
from pathlib import Path

import pytest

from nrem.runtime.models.cache import MANIFEST, STAMPS, damage, made_once


def make(folder: Path) -> None:
    folder.mkdir()
    (folder / "weights").write_text("1234", encoding="utf-8")


def fail(folder: Path) -> None:
    make(folder)
    raise KeyboardInterrupt


def test_it_is_made_once(tmp_path: Path) -> None:
    folder = made_once(tmp_path / "kept" / "model", make, "the model")
    assert (folder / "weights").read_text(encoding="utf-8") == "1234"
    assert made_once(folder, fail, "the model") == folder


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        made_once(tmp_path / "model", fail, "the model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["weights", MANIFEST])
def test_a_damaged_one_is_told_and_made_again(tmp_path: Path, name: str) -> None:
    folder = made_once(tmp_path / "model", make, "the model")
    assert damage(folder) == ""
    (folder / name).write_text("12x", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"nrem: the model in .*model is damaged \(.*\) and is made again"):
        made_once(folder, make, "the model")
    assert damage(folder, hash_anyway=True) == ""


def test_what_was_found_right_is_hashed_again_only_when_asked(tmp_path: Path) -> None:
    folder = made_once(tmp_path / "model", make, "the model")
    assert damage(folder) == ""
    assert (folder / STAMPS).exists()
    weights = folder / "weights"
    before = weights.stat()
    weights.write_text("1235", encoding="utf-8")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk that forgets a bit leaves no later time
    assert damage(folder) == ""
    assert damage(folder, hash_anyway=True) == "weights has changed"
    os.utime(weights)
    assert damage(folder) == "weights has changed"
    (folder / STAMPS).write_text("{", encoding="utf-8")
    assert damage(folder) == "weights has changed"


def test_what_another_process_made_meanwhile_stays(tmp_path: Path) -> None:
    """It may be reading it by then; what it left half-made is replaced."""
    others = tmp_path / "others" / "model"
    made_once(others, make, "the model")

    def overtaken(made: Path) -> None:
        make(made)
        shutil.copytree(others, tmp_path / "model")

    folder = made_once(tmp_path / "model", overtaken, "the model")
    before = (folder / MANIFEST).stat().st_mtime_ns
    assert before == (others / MANIFEST).stat().st_mtime_ns, "copied with its times: it is the other's"
    assert damage(folder) == ""

    def half_overtaken(made: Path) -> None:
        make(made)
        (tmp_path / "half").mkdir()

    assert damage(made_once(tmp_path / "half", half_overtaken, "the model")) == ""
