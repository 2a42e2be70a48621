"""Mistakes on the command line: which sentence for which of them, with which exit code, and that nothing else is said."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli import SLEEP, Shell


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (("sleep", "stori.md", "-o", "m"), 2, "nrem: stori.md: no such file; did you mean story.md?"),
        (("sleep", "empty.txt", "-o", "m"), 1, "nrem: empty.txt: the document is empty; give one with text in it"),
        (("sleep", "photo.txt", "-o", "m"), 1, "nrem: photo.txt: is a picture, expected text; convert it to text first"),
        (("sleep", "latin.txt", "-o", "m"), 1, "nrem: latin.txt: not UTF-8 text near byte 4 (invalid start byte)"),
        (("sleep", ".", "-o", "m"), 1, "nrem: .: is a folder, expected a document; name the files in it"),
        (("sleep", "-", "-", "-o", "m"), 2, "nrem: -: standard input can be read once only; name it once"),
        (("sleep", "story.md", "-o", "m", "--set", "sleep.pases=4"), 2, "unknown key sleep.pases; did you mean sleep.passes?"),
        (("sleep", "story.md", "-o", "m", "--set", "sleep.patience=0"), 2, "sleep.patience: got 0, expected 1 or more"),
        (("sleep", "story.md", "-o", "m", "--config", "nix.toml"), 2, "nrem: --config nix.toml: no such file"),
        (("sleep", "story.md", "-o", "m", "--budget", "lots"), 2, "nrem: --budget: got 'lots', expected a number above 0"),
        (("sleep", "story.md", "-o", "m", "--model", "./nix"), 1, "nrem: ./nix: no such folder or file, and not a Hugging Face id"),
        (("sleep", "story.md", "-o", "m", "--passes", "many"), 2, "nrem: Invalid value for '--passes'"),
        (("sleep", "story.md"), 2, "nrem: Missing option '--out'"),
        (("slep", "story.md"), 2, "nrem: No such command 'slep'"),
        (("sleep", "story.md", "-o", "empty.txt"), 2, "nrem: empty.txt: exists and is not a memory"),
        (("ask", "nowhere", "Who?"), 2, "nrem: nowhere: no such memory"),
        (("show", "."), 1, "nrem: .: not a memory, memory.json is missing"),
        (("rm", ".", "--yes"), 1, "nrem: .: not a memory, memory.json is missing; nrem deletes memories only"),
        (("train-protocol", "--rule", "hebb"), 2, "nrem: --rule: got 'hebb', expected ridge, keyed, delta, gradient"),
        (("train-protocol", "--smoke", "-o", "."), 2, ": exists and is not a protocol; choose another name"),
        (("train-protocol",), 2, "nrem: train-protocol: --data and --out are needed"),
    ],
)
def test_every_mistake_gets_its_sentence(shell: Shell, argv: tuple[str, ...], code: int, sentence: str) -> None:
    (shell.folder / "empty.txt").write_text(" \n", encoding="utf-8")
    (shell.folder / "photo.txt").write_bytes(b"\x89PNG\n\0\0")
    (shell.folder / "latin.txt").write_bytes("éé".encode() + b"\xff")
    done = shell(*argv, *(("--config", "tiny.toml") if argv[0] == "sleep" and "--config" not in argv else ()))
    [said] = [line for line in done.err.splitlines() if not line.startswith("loading ")]
    assert sentence in said
    assert (done.code, done.out) == (code, "")
    assert not list(shell.folder.glob("m*"))


def test_a_base_of_other_weights_is_refused(shell: Shell, memory: str, model_folders: tuple[Path, Path]) -> None:
    done = shell("ask", memory, "Who?", "--model", str(model_folders[1]))
    assert (done.code, done.out) == (1, "")
    assert f"nrem: {memory} was made for" in done.err
    assert "load the first model, or sleep again with this one" in done.err


def test_a_damaged_memory_is_refused(shell: Shell, memory: str) -> None:
    with (shell.folder / memory / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")
    done = shell("ask", memory, "Who?")
    assert (done.code, done.out) == (1, "")
    assert "adapter_model.safetensors was changed or damaged" in done.err
    assert len(done.err.splitlines()) == 1


def test_the_traceback_is_there_for_those_who_ask(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from nrem.memory.errors import MissingFileError
    from nrem.runtime.commands.main import main

    monkeypatch.setenv("NREM_DEBUG", "1")
    with pytest.raises(MissingFileError, match="no such file"):
        main(["sleep", "nix.md", "-o", "m"])


def test_a_fresh_process_says_nothing_but_the_answer(shell: Shell, memory: str) -> None:
    """What the libraries print when they are imported does not reach the user."""
    run = subprocess.run(
        [sys.executable, "-m", "nrem", "ask", memory, "Who?"],
        capture_output=True,
        text=True,
        check=True,
        cwd=shell.folder,
        encoding="utf-8",
    )
    assert len(run.stdout.splitlines()) == 1
    assert run.stderr == ""


def test_a_question_that_is_too_long_is_refused(shell: Shell, memory: str) -> None:
    done = shell("ask", memory, "Who? " * 300)
    assert (done.code, done.out) == (2, "")
    assert "nrem: question: got 1500 characters, expected at most 1000; ask something shorter" in done.err


def test_ctrl_c_says_one_sentence(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while the model loads; where there is something to go on from, the sentence says how."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("nrem.runtime.session.job.load_base", interrupt)
        done = shell(*SLEEP, "m")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[1:] == ["nrem: interrupted"]
    assert not (shell.folder / "m.unfinished").exists()

    monkeypatch.setattr("nrem.runtime.session.resume.CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr("nrem.consolidation.sleep.Sleeper._judge", interrupt)
        done = shell(*SLEEP, "m")
    assert done.code == 130
    assert done.err.splitlines()[1:] == [
        "nrem: interrupted; the same command with --resume goes on from the last checkpoint in m.unfinished"
    ]
    assert shell(*SLEEP, "m", "--resume").code == 0
