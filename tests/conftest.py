"""Fixtures for all tests, shape checking for the modules that annotate shapes, and no test near the user's files."""

import json
import os

# set before torch and transformers are imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

from tests import shapes

shapes.install()

import torch  # noqa: E402

from nrem.runtime.models.load import Base, load  # noqa: E402
from tests import benches, cli, tiny  # noqa: E402

torch.set_num_threads(1)  # tiny matrices gain nothing from more, and lose much where other programs run


@pytest.fixture(autouse=True)
def _own_home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's home; those that use the default model share the user's cache of it."""
    if "real_model" not in request.keywords:
        home = tmp_path_factory.mktemp("home")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        monkeypatch.setenv("NREM_CACHE", str(home / "nrem"))


@pytest.fixture(scope="session", params=list(tiny.FAMILIES))
def base(request: pytest.FixtureRequest) -> Base:
    """A tiny model of every family in turn; frozen, so all tests share it."""
    return tiny.make_base(request.param)


@pytest.fixture(scope="session")
def llama() -> Base:
    """One tiny model, for what does not depend on the family."""
    return tiny.make_base("llama")


@pytest.fixture(scope="session")
def other_llama() -> Base:
    """Another model of the same shape."""
    return tiny.make_base("llama", seed=1)


@pytest.fixture
def story(tmp_path: Path) -> Path:
    """A short document on disk."""
    path = tmp_path / "story.md"
    path.write_text("# Orrin\n\n" + tiny.STORY, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def real_base() -> Base:
    """The default model."""
    return load()


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two tiny models on disk, equal but for their weights."""
    folder = tmp_path_factory.mktemp("models")
    return cli.save_model(folder / "one", seed=0), cli.save_model(folder / "two", seed=1)


@pytest.fixture(scope="session")
def model_folder(model_folders: tuple[Path, Path]) -> Path:
    """One tiny model on disk."""
    return model_folders[0]


@pytest.fixture(scope="session")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tiny documents with a question each."""
    path = tmp_path_factory.mktemp("data") / "rooms.jsonl"
    path.write_text("\n".join(json.dumps(benches.babi_row(n)) for n in range(6)), encoding="utf-8")
    return path


@pytest.fixture
def shell(
    tmp_path: Path, model_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> cli.Shell:
    """The command line in a folder with `story.md` and `tiny.toml`."""
    monkeypatch.chdir(tmp_path)
    cli.save_config(tmp_path / "tiny.toml", model_folders[0])
    (tmp_path / "story.md").write_text("# Orrin\n\n" + tiny.STORY, encoding="utf-8")
    return cli.Shell(tmp_path, capsys)
