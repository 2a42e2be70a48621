"""Pipes, FIFOs and names of any kind: what can be read once only is kept whole, and nothing is left behind."""

import gc
import os
import re
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from nrem.memory.errors import DocumentError, MissingFileError, UsageError
from nrem.runtime.readers import source
from nrem.runtime.readers.read import open_documents, read_document

LINE = b"The lamp of Orrin burned sixty litres of oil a night.\n"
SIZES = pytest.mark.parametrize("size", [100, 65536, 66_000, 300_000, 3_000_000])


def text_of(size: int) -> bytes:
    return (LINE * (size // len(LINE) + 1))[:size]


class Pipe:
    """A pipe that another thread fills."""

    def __init__(self, content: bytes, path: Path | None = None) -> None:
        self.reading = -1
        writing = -1
        if path is None:
            self.reading, writing = os.pipe()
        else:
            os.mkfifo(path)

        def fill() -> None:
            with os.fdopen(writing, "wb") if path is None else path.open("wb") as file:
                file.write(content)

        self.thread = threading.Thread(target=fill, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.thread.join(10)
        if self.reading >= 0:
            os.close(self.reading)


@SIZES
def test_a_pipe_of_any_size_is_read_whole_and_again(size: int) -> None:
    pipe = Pipe(b"# The light\n\n" + text_of(size))
    document = read_document(f"/dev/fd/{pipe.reading}")
    assert (document.name, document.title) == (f"pipe-{pipe.reading}", "The light")
    for _ in range(2):
        assert "".join(document.pieces()).encode() == b"# The light\n\n" + text_of(size)
    pipe.close()


@SIZES
def test_a_fifo_is_read_under_its_name(tmp_path: Path, size: int) -> None:
    pipe = Pipe(text_of(size), tmp_path / "night_log.fifo")
    document = read_document(tmp_path / "night_log.fifo")
    assert (document.name, document.title) == ("night_log.fifo", "night log")
    assert "".join(document.pieces()).encode() == text_of(size)
    pipe.close()


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_is_read_under_any_of_its_names(name: str) -> None:
    pipe, old = Pipe(text_of(300_000)), os.dup(0)
    os.dup2(pipe.reading, 0)
    try:
        with pytest.MonkeyPatch.context() as patch, os.fdopen(os.dup(0), "r", encoding="utf-8") as stdin:
            patch.setattr(sys, "stdin", stdin)
            (document,) = open_documents([name])
            for twice in ((name, "-"), ("/dev/stdin", name)):
                with pytest.raises(UsageError, match="can be read once only; name it once"):
                    open_documents(twice)
    finally:
        os.dup2(old, 0)
        os.close(old)
        pipe.close()
    assert document.name == "stdin"
    assert "".join(document.pieces()).encode() == text_of(300_000)


def test_two_readers_of_a_pipe_do_not_disturb_each_other() -> None:
    pipe = Pipe(text_of(200_000))
    document = read_document(f"/dev/fd/{pipe.reading}")
    assert "".join(a for a, b in zip(document.pieces(), document.pieces(), strict=True) if a == b).encode() == text_of(200_000)
    pipe.close()


def test_a_pipe_named_twice_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path}/f: it can be read once only; name it once")):
        open_documents([tmp_path / "f", tmp_path / "f"])
    (tmp_path / "a.txt").write_bytes(LINE)
    assert len(open_documents([tmp_path / "a.txt", tmp_path / "a.txt"])) == 2


def test_a_long_pipe_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(source, "KEPT_IN_MEMORY", 1000)
    pipe = Pipe(text_of(300_000))
    before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()
    document = read_document(f"/dev/fd/{pipe.reading}")
    assert list(tmp_path.iterdir()) == []
    assert "".join(document.pieces()).encode() == text_of(300_000)
    del document
    gc.collect()
    pipe.close()
    if before:
        assert set(os.listdir("/proc/self/fd")) <= before


def test_a_file_behind_a_descriptor_has_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "story.md").write_bytes(b"# Orrin\n\n" + LINE)
    with (tmp_path / "story.md").open("rb") as file:
        document = read_document(f"/dev/fd/{file.fileno()}")
        assert (document.name, document.title) == ("story.md", "Orrin")


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(name: str) -> None:
    with pytest.raises(DocumentError, match=f"{name}: is a device, expected a document; give a file, a pipe or - for standard input"):
        read_document(name)


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(LINE)
    document = read_document(path)
    path.unlink()
    with pytest.raises(DocumentError, match=r"a.txt: cannot be read \(No such file or directory\); give a file that can be"):
        list(document.pieces())
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DocumentError, match="-: standard input is closed"):
        read_document("-")


def test_a_text_in_place_of_a_name_is_told() -> None:
    text = "The whole text of a document. " * 20
    with pytest.raises(MissingFileError, match=r"^The whole text of .+ \.\.\.: no such file; Document.from_text takes text"):
        open_documents([text])


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9_noir.txt"))
    path.write_bytes(LINE)
    document = read_document(path)
    assert (document.name, document.title) == (r"caf\xe9_noir.txt", r"caf\xe9 noir")
    path.write_bytes(b"")
    with pytest.raises(DocumentError, match=re.escape(r"/caf\xe9_noir.txt: the document is empty")):
        read_document(path)
