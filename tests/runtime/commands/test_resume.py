"""A sleep that is cut off loses nothing: killed at any moment, it goes on with --resume and ends with the same adapter."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nrem.consolidation.events import ignore
from nrem.memory.saved.atomic import sha256_file
from nrem.runtime.config import load_config
from nrem.runtime.session.job import run_sleep
from nrem.runtime.session.ready import SleepJob
from tests import tiny
from tests.cli import Shell

SLEEP = ("sleep", "long.md", "--config", "tiny.toml", "--passes", "20", "-o")


@pytest.fixture
def long_document(shell: Shell) -> Path:
    """Three sleeps' worth of text."""
    path = shell.folder / "long.md"
    path.write_text("# Orrin\n\n" + "\n\n".join(tiny.STORY.replace("1843", str(year)) for year in (1843, 1911, 1954)), encoding="utf-8")
    return path


def start_and_kill(shell: Shell, *argv: str, checkpoints: int) -> None:
    """Run in a process of its own, and kill it as soon as so many checkpoints were written."""
    argv = (sys.executable, "-m", "nrem", *argv)
    process = subprocess.Popen(
        argv, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    resume, deadline = shell.folder / "m.unfinished" / "resume.safetensors", time.monotonic() + 120
    seen: set[int] = set()
    while len(seen) < checkpoints and process.poll() is None and time.monotonic() < deadline:
        if resume.exists():
            seen.add(resume.stat().st_mtime_ns)
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed: {err.decode()}"


@pytest.mark.usefixtures("long_document")
@pytest.mark.parametrize("checkpoints", [1, 3])
def test_a_killed_sleep_resumes_to_the_same_adapter(shell: Shell, checkpoints: int) -> None:
    assert shell(*SLEEP, "whole").code == 0
    start_and_kill(shell, *SLEEP, "m", checkpoints=checkpoints)
    assert not (shell.folder / "m").exists()
    assert shell(*SLEEP, "m", "--resume").code == 0
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert sha256_file(shell.folder / "m" / name) == sha256_file(shell.folder / "whole" / name)
    assert not (shell.folder / "m.unfinished").exists()


@pytest.mark.usefixtures("long_document")
def test_an_unfinished_sleep_is_not_thrown_away_unasked(shell: Shell) -> None:
    start_and_kill(shell, *SLEEP, "m", checkpoints=1)
    done = shell(*SLEEP, "m")
    assert (done.code, done.out) == (2, "")
    assert "m.unfinished: an unfinished sleep is there; go on with --resume, or start again with --force" in done.err
    assert "unfinished" in shell("ls", ".").out

    done = shell("sleep", "story.md", "--config", "tiny.toml", "--passes", "20", "-o", "m", "--resume")
    assert done.code == 1
    assert "give the same document, or start again with --force" in done.err
    done = shell("sleep", "long.md", "--config", "tiny.toml", "--passes", "21", "-o", "m", "--resume")
    assert done.code == 1
    assert "had another configuration" in done.err
    assert (shell.folder / "m.unfinished").exists()

    assert shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m", "--force").code == 0
    assert not (shell.folder / "m.unfinished").exists()


def test_a_document_that_ends_earlier_is_another_one(shell: Shell, long_document: Path) -> None:
    """All that it has is what the unfinished sleep read first."""
    start_and_kill(shell, *SLEEP, "m", checkpoints=1)
    text = long_document.read_text(encoding="utf-8")
    long_document.write_text(text[: text.index("The harbour froze")], encoding="utf-8")
    done = shell(*SLEEP, "m", "--resume")
    assert (done.code, done.out) == (1, "")
    assert re.search(r"long\.md: ends after \d chunks, but the unfinished sleep has read \d+; give the same document, or start", done.err)
    assert not (shell.folder / "m").exists()
    long_document.write_text(text, encoding="utf-8")
    assert shell(*SLEEP, "m", "--resume").code == 0


def test_resume_where_nothing_is_unfinished(shell: Shell) -> None:
    first = shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m", "--resume", "--json")
    assert first.code == 0
    again = shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m", "--resume", "--json")
    assert again.code == 0
    assert "nothing is unfinished, the memory is there already" in again.err
    assert again.out == first.out


def test_resume_leaves_out_the_text_of_a_memory_that_is_there(shell: Shell) -> None:
    sleep = ("sleep", "story.md", "--config", "tiny.toml", "-o", "m", "--resume", "--json")
    assert shell(*sleep).code == 0
    assert (shell.folder / "m" / "text").exists()
    done = shell(*sleep, "--forget-text")
    assert done.code == 0
    assert "m: the memory is there already; its text was left out now" in done.err
    assert not (shell.folder / "m" / "text").exists()
    assert "nothing is unfinished, the memory is there already" in shell(*sleep, "--forget-text").err


def test_a_folder_of_somebody_else_is_left_alone(shell: Shell) -> None:
    (shell.folder / "m.unfinished").mkdir()
    (shell.folder / "m.unfinished" / "novel.txt").write_text("Chapter 1", encoding="utf-8")
    for flag in ("--force", "--resume"):
        done = shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m", flag)
        assert done.code == 2
        assert "m.unfinished: is not an unfinished sleep" in done.err
    assert (shell.folder / "m.unfinished" / "novel.txt").exists()


def test_a_run_that_failed_at_once_leaves_nothing(shell: Shell) -> None:
    (shell.folder / "odd.txt").write_bytes(b"A line of text.\n" * 5000 + b"\0")  # binary behind the first block
    done = shell("sleep", "odd.txt", "--config", "tiny.toml", "-o", "m", "--set", "stream.buffer_tokens=1000000")
    assert (done.code, done.out) == (1, "")
    assert "this looks like a binary file" in done.err
    assert not list(shell.folder.glob("m*"))


def test_what_a_job_returns_lives_without_the_journal(shell: Shell) -> None:
    job = SleepJob(documents=("story.md",), out=Path("m"))
    memory = run_sleep(job, load_config("tiny.toml"), listener=ignore, tell=lambda text: None)
    assert memory.text is not None
    assert "".join(chunk.text for chunk in memory.text) == (shell.folder / "story.md").read_text(encoding="utf-8")
    assert memory.text.search("lighthouse")


def test_the_journal_lies_beside_the_memory() -> None:
    assert SleepJob(documents=(), out=Path("a/b")).unfinished == Path("a/b.unfinished")
