"""Readers stream what is text, exactly, and refuse in a sentence what is not."""

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import DocumentError, MissingFileError
from nrem.runtime.readers import text as readers
from nrem.runtime.readers.text import Document, read_document


def text_of(document: Document) -> str:
    return "".join(document.pieces())


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1), block=st.integers(1, 9))
def test_any_text_is_read_exactly_wherever_blocks_end(tmp_path_factory: pytest.TempPathFactory, text: str, block: int) -> None:
    text += "."
    path = tmp_path_factory.mktemp("documents") / "any.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK_BYTES", block)
        assert text_of(read_document(path)) == text


def test_a_document_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"a line of text\n" * 50_000)
    pieces = [len(piece) for piece in read_document(path).pieces()]
    assert max(pieces) <= readers.BLOCK_BYTES
    assert sum(pieces) == 750_000


def test_a_document_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text("twice")
    document = read_document(tmp_path / "twice.txt")
    assert text_of(document) == text_of(document) == "twice"


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a_b-c.txt", "# Not a title\n", "a b c"),
        ("a.md", "# The Orrin light #\n\nText.", "The Orrin light"),
        ("a.md", "\ufeff\n  # Title\n", "Title"),
        ("a_b.md", "Text first.\n\n# Later\n", "a b"),
        ("a.markdown", "## Second level\n", "a"),
        ("notes", "Text.", "notes"),
    ],
)
def test_the_title_is_the_heading_or_the_name(tmp_path: Path, name: str, content: str, title: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    document = read_document(path)
    assert (document.name, document.title) == (name, title)
    assert text_of(document) == content.removeprefix("\ufeff")


def test_standard_input_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Ünï\nzwei".encode())))
    document = read_document("-")
    assert (document.name, text_of(document)) == ("stdin", "Ünï\nzwei")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the document is empty; give one with text in it"),
        (b" \n\t\n", "the document is empty; give one with text in it"),
        (b"\xef\xbb\xbf", "the document is empty"),
        (b"text\0text", "byte 4 is NUL, expected UTF-8 text; this looks like a binary file"),
        (b"caf\xe9 au lait", "not UTF-8 text near byte 3 (invalid continuation byte); convert it, or give a text file"),
        (b"torn at the end \xe2\x82", "not UTF-8 text near byte 16 (unexpected end of data)"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=re.escape(f"{path}: {words}")):
        text_of(read_document(path))


def test_an_error_deep_in_a_document_has_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"x" * readers.BLOCK_BYTES + b"yy\xff")
    with pytest.raises(DocumentError, match=f"near byte {readers.BLOCK_BYTES + 2} "):
        text_of(read_document(path))


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("Text.")
    with pytest.raises(MissingFileError, match=re.escape(f"{tmp_path}/reprot.md: no such file; did you mean {tmp_path}/report.md?")):
        read_document(tmp_path / "reprot.md")
    with pytest.raises(MissingFileError, match="no such file; give the path of a document"):
        read_document(tmp_path / "elsewhere" / "zzz.txt")
    with pytest.raises(DocumentError, match="is a folder, expected a document; name the files in it"):
        read_document(tmp_path)
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(DocumentError, match=re.escape(".pdf files are not read, expected one of .txt, .text, .md, .markdown")):
        read_document(tmp_path / "a.pdf")


def test_text_at_hand_is_a_document() -> None:
    document = Document.from_text("Text.", name="n", title="t")
    assert (document.name, document.title, text_of(document)) == ("n", "t", "Text.")
    with pytest.raises(DocumentError, match="n: the document is empty"):
        text_of(Document.from_text(" ", name="n"))
