"""What commands do to folders: files of others live, links are followed, the second writer is told, and the wrong document is refused."""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.reliability.killed import tree
from nrem.memory.saved.files import ADAPTER_WEIGHTS
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.own import of_memory
from tests.cli import Shell

SLEEP = ("sleep", "story.md", "--config", "tiny.toml")
OTHER = "# Sarn\n\nThe mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."


@pytest.fixture
def made(shell: Shell) -> Path:
    """A memory of the story, with files of a person in it."""
    (shell.folder / "other.md").write_text(OTHER, encoding="utf-8")
    assert shell(*SLEEP, "-o", "m").code == 0
    folder = shell.folder / "m"
    (folder / "notes.txt").write_text("my notes", encoding="utf-8")
    (folder / "text" / "draft").mkdir()
    (folder / "text" / "draft" / "a.tex").write_text("my draft", encoding="utf-8")
    return folder


def theirs(folder: Path) -> dict[str, bytes | str]:
    return {name: content for name, content in tree(folder).items() if not of_memory(name)}


@contextmanager
def held(target: Path, command: str) -> Iterator[None]:
    """Somebody else writes there."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with one_writer(target, command):
            begun.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()


def visible(shell: Shell) -> set[str]:
    return {path.name for path in shell.folder.iterdir()} - {"tiny.toml", "story.md", "other.md"}


def test_files_of_a_person_live_through_every_command(shell: Shell, made: Path) -> None:
    before, modes = theirs(made), {stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()}
    assert len(before) == 2
    mask = os.umask(0)
    os.umask(mask)
    assert modes == {0o666 & ~mask}
    for argv in (("extend", "m", "other.md"), (*SLEEP, "-o", "m", "--force"), ("rm", "m", "--yes")):
        weights = (made / ADAPTER_WEIGHTS).read_bytes()
        done = shell(*argv)
        assert done.code == 0, done.err
        assert theirs(made) == before
        assert visible(shell) == {"m"}
        assert argv[0] == "rm" or (made / ADAPTER_WEIGHTS).read_bytes() != weights
    assert "deleted m; kept notes.txt, text/draft in m: not nrem's" in done.err
    assert tree(made) == before
    assert shell("rm", "m", "--yes").code == 1, "it is no memory any more"


def test_an_unfinished_run_goes_and_a_thesis_in_it_stays(shell: Shell) -> None:
    unfinished = shell.folder / "m.unfinished"
    (unfinished / "text").mkdir(parents=True)
    (unfinished / "text" / "chunks.jsonl").write_text("", encoding="utf-8")
    (unfinished / "thesis.tex").write_text("my thesis", encoding="utf-8")
    done = shell(*SLEEP, "-o", "m", "--force")
    assert done.code == 0, done.err
    assert "m.unfinished: kept thesis.tex, which nrem did not put there" in done.err
    assert tree(unfinished) == {"thesis.tex": b"my thesis"}
    (unfinished / "resume.safetensors").touch()
    done = shell("rm", "m.unfinished", "--yes")
    assert done.code == 0
    assert "kept thesis.tex in m.unfinished: not nrem's" in done.err
    assert tree(unfinished) == {"thesis.tex": b"my thesis"}


def test_a_link_is_followed_and_stays(shell: Shell, made: Path) -> None:
    os.rename(made, shell.folder / "real")
    made.symlink_to("real")
    before = (made / ADAPTER_WEIGHTS).read_bytes()
    assert shell(*SLEEP, "-o", "m", "--force", "--passes", "5").code == 0
    assert made.is_symlink()
    assert (shell.folder / "real" / ADAPTER_WEIGHTS).read_bytes() != before
    assert (shell.folder / "real" / "notes.txt").read_text(encoding="utf-8") == "my notes"
    assert visible(shell) == {"m", "real"}
    done = shell("rm", "m", "--yes")
    assert done.code == 2
    assert "m: is a symbolic link; nrem rm" in done.err
    assert visible(shell) == {"m", "real"}


def test_the_second_writer_is_told_before_a_model_is_loaded(shell: Shell, made: Path) -> None:
    before = tree(made)
    with held(made, "nrem extend"), held(shell.folder / "both", "nrem merge"):
        commands = ((*SLEEP, "-o", "m", "--force"), ("extend", "m", "other.md"), ("forget", "m", "--chunk", "0"), ("rm", "m", "--yes"))
        out = (("merge", "m", "m", "-o", "both"), ("forget", "m", "--chunk", "0", "-o", "both"), (*SLEEP, "-o", "both"))
        refused = [shell(*argv) for argv in (*commands, *out)]
    for done in refused:
        assert done.code == 1
        assert f"nrem extend (process {os.getpid()})" in done.err or f"nrem merge (process {os.getpid()})" in done.err
        assert done.err.count("\n") == 1
        assert done.out == ""
    assert tree(made) == before
    assert visible(shell) == {"m"}


def test_resume_over_a_memory_of_another_document(shell: Shell, made: Path) -> None:
    before = tree(made)
    assert shell(*SLEEP, "-o", "m", "--resume").code == 0
    other = ("sleep", "other.md", "--config", "tiny.toml", "-o", "m", "--resume")
    done = shell(*other)
    assert (done.code, done.out) == (2, "")
    words = "m: nothing is unfinished, and the memory there is of story.md, got other.md; choose another name, or replace it with --force"
    assert words in done.err
    done = shell(*SLEEP, "-o", "m", "--resume", "--passes", "7")
    assert done.code == 2
    assert "m: nothing is unfinished, and the memory there was made with another configuration; choose another name" in done.err
    (shell.folder / "story.md").write_text(OTHER, encoding="utf-8")
    done = shell(*SLEEP, "-o", "m", "--resume")
    assert done.code == 2
    assert "is of story.md, got story.md with another text; choose" in done.err
    assert tree(made) == before
    assert shell(*other, "--force").code == 0
    assert shell(*other, "--force").code == 0, "it is finished, and of this document"


def test_what_is_no_memory_cannot_be_extended(shell: Shell) -> None:
    (shell.folder / "novel").mkdir()
    (shell.folder / "novel" / "chapter.txt").write_text("It was night.", encoding="utf-8")
    done = shell("extend", "novel", "story.md")
    assert done.code == 1
    assert "novel: not a memory, memory.json is missing" in done.err
    assert tree(shell.folder / "novel") == {"chapter.txt": b"It was night."}
