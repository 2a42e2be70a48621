"""The title of a document is what its start says it is, in any of the forms that people write, else its name."""

from pathlib import Path

import pytest

from nrem.runtime.readers.markdown import markdown_title
from nrem.runtime.readers.read import read_document
from nrem.runtime.readers.restructured import restructured_title

MARKDOWN = {
    "# The Orrin light #\n\nText.": "The Orrin light",
    "\n  # Title\n": "Title",
    "# Notes on C#\n": "Notes on C#",
    "# Windows ends\r\n\r\nText.": "Windows ends",
    "#No space\n": "",
    "#\n\nText.": "",
    "    # Code\n": "",
    "## Second level\n": "",
    "Text first.\n\n# Later\n": "",
    "The light\n=========\n\nText.": "The light",
    "A title\nover two lines\n===\n": "A title over two lines",
    "Second level\n------------\n": "",
    "Text.\n\nThe light\n=====\n": "",
    "---\nlayout: post\ntitle: The light\n---\n\n# Other\n": "The light",
    '---\ntitle: "The \\"light\\": a story"\n---\n': 'The "light": a story',
    "---\ntitle: 'It''s lit'\n---\n": "It's lit",
    "---\ntitle: >-\n  A long\n  title\nauthor: me\n---\n": "A long title",
    "---\ntitle: Lit # a remark\n---\n": "Lit",
    "---\nauthor: me\n---\n\n# The light\n": "The light",
    "+++\ntitle = 'The light'\n+++\n": "The light",
    "---\n\n# After a rule\n": "",
    '<h1 align="center">\n  <img src="l.png"> The &amp; <b>light</b>\n</h1>\n': "The & light",
    '<p align="center"><img src="logo.png"></p>\n\n<h1>Orrin</h1>\n': "Orrin",
    '<div align="center">\n\n# Orrin\n\n</div>': "Orrin",
    "<!-- licence: MIT -->\n\n# Orrin\n": "Orrin",
    "[![build](b.svg)](https://ci) ![logo](l.png)\n\n# Orrin\n": "Orrin",
    "<h2>Second</h2>\n": "",
    "<p>Text</p>\n\n# Later\n": "",
}


@pytest.mark.parametrize(("start", "title"), MARKDOWN.items())
def test_the_title_of_markdown(start: str, title: str) -> None:
    assert markdown_title(start) == title


@pytest.mark.parametrize(
    ("start", "title"),
    [
        ("The light\n=========\n\nText.", "The light"),
        ("=========\nThe light\n=========\n", "The light"),
        ("*****\n  The light\n*****\n", "The light"),
        (".. _light:\n\nThe light\n---------\n", "The light"),
        (".. comment\n   goes on\n\n   and on\n\n:orphan:\n\n########\nThe light\n########\n", "The light"),
        (".. image:: l.png\n   :width: 3\n\nThe light\n~~~~~~~~~\n", "The light"),
        ("Text that goes on.\n\nThe light\n=========\n", ""),
        ("=== ===\na   b\n=== ===\n", ""),
        ("Text.", ""),
    ],
)
def test_the_title_of_restructured_text(start: str, title: str) -> None:
    assert restructured_title(start) == title


@pytest.mark.parametrize(
    ("name", "content", "title"),
    [
        ("a_b-c.txt", "# Not a title\n", "a b c"),
        ("a.md", "# The Orrin light #\n\nText.", "The Orrin light"),
        ("a.md", "\ufeff\n  # Title\n", "Title"),
        ("a_b.md", "Text first.\n\n# Later\n", "a b"),
        ("a.markdown", "## Second level\n", "a"),
        ("a.rst", "Title\n-----\n", "Title"),
        ("nroff.1", ".TH NROFF 1\n", "nroff"),
        ("notes", "Text.", "notes"),
    ],
)
def test_the_title_is_the_heading_or_the_name(tmp_path: Path, name: str, content: str, title: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    document = read_document(path)
    assert (document.name, document.title) == (name, title)
    assert "".join(document.pieces()) == content.removeprefix("\ufeff")
