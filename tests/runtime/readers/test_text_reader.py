"""Readers stream what is text, exactly, and refuse in a sentence what is not, before anything is read from them."""

import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import DocumentError, MissingFileError
from nrem.runtime.readers import source
from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.read import READERS, open_documents, read_document
from nrem.runtime.readers.source import Source


def text_of(document: Document) -> str:
    return "".join(document.pieces())


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1), block=st.integers(1, 9))
def test_any_text_is_read_exactly_wherever_blocks_end(tmp_path_factory: pytest.TempPathFactory, text: str, block: int) -> None:
    text = "On: " + text
    path = tmp_path_factory.mktemp("documents") / "any.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK_BYTES", block)
        assert text_of(read_document(path)) == text


def test_a_document_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_bytes(b"a line of text\n" * 50_000)
    pieces = [len(piece) for piece in read_document(path).pieces()]
    assert max(pieces) <= source.BLOCK_BYTES
    assert sum(pieces) == 750_000


def test_a_document_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "twice.txt").write_text("twice", encoding="utf-8")
    document = read_document(tmp_path / "twice.txt")
    assert text_of(document) == text_of(document) == "twice"


@pytest.mark.parametrize("name", ["syslog.log", "nroff.1", "README", "guide.rst", "main.py", ".profile", "data.unheard-of", "NOTES.TXT"])
def test_any_text_file_is_read_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Jan 3 04:12 orrin lampd: wick trimmed\n", encoding="utf-8")
    document = read_document(path)
    assert (document.name, text_of(document)) == (name, "Jan 3 04:12 orrin lampd: wick trimmed\n")


def test_standard_input_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Ünï\nzwei".encode()), encoding="latin-1"))
    document = read_document("-")
    assert (document.name, document.title, text_of(document), text_of(document)) == ("stdin", "", "Ünï\nzwei", "Ünï\nzwei")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the document is empty; give one with text in it"),
        (b" \n\t\n", "the document is empty; give one with text in it"),
        (b"\xef\xbb\xbf", "the document is empty"),
        (b"\xff\xfe", "the document is empty"),
        (b"-----\n\n....\n", "the document is only rules, dots or one repeated character; give one with text in it"),
        (b"a" * 200_000, "the document is only rules, dots or one repeated character"),
        (b"text\0text", "byte 4 is NUL, expected UTF-8 text; this looks like a binary file"),
        (
            b"torn at the end \xe2\x82",
            "not UTF-8 text near byte 16 (unexpected end of data); give its encoding with --encoding, or a text file",
        ),
        ("één één ".encode() + b"\xff", "not UTF-8 text near byte 12 (invalid start byte)"),
        (b"\xff\xfea\0b\0\x00\xd8", "not UTF-16 text near byte 6 (unexpected end of data)"),
        (b"%PDF-1.7\n1 0 obj", "is a PDF file, expected text; convert it to text first"),
        (b"PK\x03\x04...", "is a zip archive, as docx, odt and epub files are, expected text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is a picture, expected text"),
    ],
)
def test_what_is_no_text_is_refused_when_it_is_opened(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=re.escape(f"{path}: {words}")):
        read_document(path)


def test_an_error_deep_in_a_document_has_its_offset_and_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"x" * source.BLOCK_BYTES + "é".encode() * 9 + b"yy\xff")
    with pytest.raises(DocumentError, match=f"near byte {source.BLOCK_BYTES + 20} "):
        read_document(path)
    path.write_bytes(b"words " * source.BLOCK_BYTES + b"\0")
    with pytest.raises(DocumentError, match=f"byte {6 * source.BLOCK_BYTES} is NUL"):
        read_document(path)


def test_what_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("Text.", encoding="utf-8")
    with pytest.raises(MissingFileError, match=re.escape(f"{tmp_path}/reprot.md: no such file; did you mean {tmp_path}/report.md?")):
        read_document(tmp_path / "reprot.md")
    with pytest.raises(MissingFileError, match="no such file; give the path of a document"):
        read_document(tmp_path / "elsewhere" / "zzz.txt")
    with pytest.raises(DocumentError, match="is a folder, expected a document; name the files in it"):
        read_document(tmp_path)


def test_text_at_hand_is_a_document() -> None:
    document = Document.from_text("Text.", name="n", title="t")
    assert (document.name, document.title, text_of(document)) == ("n", "t", "Text.")
    with pytest.raises(DocumentError, match="n: the document is empty"):
        Document.from_text(" ", name="n")
    with pytest.raises(DocumentError, match="n: the document is only rules"):
        Document.from_text("- - -", name="n")
    with pytest.raises(DocumentError, match="n: character 5 is half a surrogate pair, expected text"):
        Document.from_text("half \ud83d", name="n")
    assert open_documents([document]) == [document]


class ShoutingReader(Reader):
    """A toy kind of file: text that is shouted."""

    def open(self, source: Source, *, encoding: str, tell: Tell) -> Document:
        text = b"".join(source.blocks()).decode().upper()
        return Document.from_text(text, name=source.name, title="Shouted")


def test_a_new_kind_of_file_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, ".shout", ShoutingReader)
    (tmp_path / "a.shout").write_text("Land ahead", encoding="utf-8")
    document = read_document(tmp_path / "a.shout")
    assert (document.title, text_of(document)) == ("Shouted", "LAND AHEAD")
