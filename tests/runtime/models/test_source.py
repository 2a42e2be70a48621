"""What a model's name means, and by what name others find it."""

from pathlib import Path

import pytest

from nrem.runtime.models.source import find_source, known_elsewhere


def test_names_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "owner/one"):
        Path(name).mkdir(parents=True)
        (Path(name) / "config.json").write_text("{}", encoding="utf-8")
    Path("file.gguf").write_text("", encoding="utf-8")
    kinds = {name: find_source(name).kind for name in ("smollm2-135m", "one", "owner/one", "file.gguf", "owner/two")}
    assert kinds == {"smollm2-135m": "default", "one": "folder", "owner/one": "folder", "file.gguf": "gguf", "owner/two": "hub"}


def test_a_folder_is_known_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert known_elsewhere(Path("one")) == (str(tmp_path / "one"), "")


def test_a_folder_in_the_hubs_cache_is_known_by_its_id(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hub" / "models--some--Tiny-1B--v2" / "snapshots" / commit
    assert known_elsewhere(folder) == ("some/Tiny-1B--v2", commit)
