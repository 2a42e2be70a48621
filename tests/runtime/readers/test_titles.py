"""The title of a document is what its start says it is, in any of the forms that people write, else its name."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
    "---\n\n# Real\n\nText.\n\n---\n\n# Second\n": "",
    "---\n# a remark\n\ntitle: Lit\n---\n": "Lit",
    "---\n# Heading\n\nSome prose here.\nNote: foo\n---\n# B\n": "",
    "---\n" + "# Part\nText, no key.\n\n" * 200: "",
    '---\ntitle: "A \\ud83d B"\n---\n': "A \ufffd B",
    '---\ntitle: "Lit: a story" # a remark\n---\n': "Lit: a story",
    "---\ntitle: 'It''s lit' # a remark\n---\n": "It's lit",
    '---\ntitle: "Caf\\u00e9"\n---\n': "Caf\u00e9",
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


ATX = re.compile(r" {0,3}#[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*\r?$", re.MULTILINE)
"""A heading behind a mark, all in one; a run of spaces takes it the square of their number."""


@settings(max_examples=500, deadline=None)
@given(
    st.text(st.sampled_from("###   \t\r\xa0ab"), max_size=12).map(lambda line: f"# {line}"), st.sampled_from(["", "\n", "\r\n", "\nText"])
)
@example("# C# #", "")
@example("# ## ##", "")
@example("# a #\r\r", "\n")
def test_a_marked_title_is_what_the_pattern_finds(line: str, after: str) -> None:
    found = ATX.match(line + after)
    assert found is not None
    assert markdown_title(line + after) == " ".join(found.group(1).split())


RUNS = [
    " ",
    "#",
    " #",
    "\t",
    "\r",
    "\n",
    "=",
    "= ",
    "<",
    "<h1>",
    "<!--",
    "<p",
    "<h1><",
    "[",
    "![",
    "![a](",
    "title: ",
    "\n title",
    "\n---",
    "\n =",
]


@pytest.mark.parametrize(
    "around", ["# x{}y", "{}", "x\n{}y", "<h1>{}</h1>", "---\n{}", "---\ntitle:{}\n---\n", "---\ntitle: >{}\n---\n", "\n   {}\n==="]
)
@pytest.mark.parametrize("run", RUNS)
def test_no_start_takes_long(around: str, run: str) -> None:
    """8,000 spaces in a title took a second and a half."""
    for title in (markdown_title, restructured_title):
        begun = time.perf_counter()
        title(around.format(run * (160_000 // len(run))))
        assert time.perf_counter() - begun < 0.5


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
        ("----------\n\nThe light\n=========\n", "The light"),
        ("__ https://light\n\nThe light\n=========\n", "The light"),
        ("|Build| |PyPI|_\n\nThe light\n=========\n", "The light"),
        ("Some opening paragraph line\n...\n", ""),
        ("Titles\n=====\n", "Titles"),
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
