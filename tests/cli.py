"""The command line, run inside the test process, and a tiny model on disk to run it with."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from nrem.runtime.commands.main import main
from nrem.runtime.config import to_toml
from tests import tiny

SLEEP = ("sleep", "story.md", "--config", "tiny.toml", "-o")
"""A sleep on the shell's story; behind it goes the name of the memory."""


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shell:
    """Runs commands; every path in them is relative to `folder`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *argv: str) -> Done:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main(argv)
        out, err = self.capsys.readouterr()
        return Done(int(exit_.value.code or 0), out, err)


def save_model(folder: Path, seed: int = 0) -> Path:
    """A tiny model as a transformers folder."""
    base = tiny.make_base("llama", seed)
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


def save_config(path: Path, model: Path, *settings: str) -> Path:
    """A configuration file for it."""
    path.write_text(to_toml(tiny.make_config(f"model.name={model}", *settings)), encoding="utf-8")
    return path
