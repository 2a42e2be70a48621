"""The Markdown pages: every link leads somewhere, every line can be read in a terminal, every name that they import exists.

Their commands and numbers are in test_documents.py.
"""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WIDEST = 120
LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
TARGET = re.compile(r"\]\([^)\s]+\)")


def test_the_pages_are_there() -> None:
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "commands.md", "settings.md", "results.md", "concepts.md", "limits.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[a](nowhere.md) [b](page.md#a-title) [c](#a-title) [d](#no-title) [e](https://example.org/x)\n", encoding="utf-8"
    )
    assert broken_links(page) == ["nowhere.md", "#no-title"]


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_prose_is_no_wider_than_a_terminal(page: Path) -> None:
    assert wide_lines(page.read_text(encoding="utf-8")) == []


def test_a_wide_line_is_found_and_tables_code_and_links_are_let_be() -> None:
    long = "x" * WIDEST
    text = f"{long}y\n| {long} |\n```\n{long} code\n```\n    {long}\n- see [it](there/{long}.md)\n<!-- {long} -->\n"
    assert wide_lines(text) == [f"{long}y"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_the_examples_import_exist(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nrem"):
                module = import_module(node.module or "")
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


def broken_links(page: Path) -> list[str]:
    """Targets of relative links to which there is no file, or no heading in it."""
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = (page.parent / name) if name else page
        if not found.exists() or (heading and heading not in headings(found)):
            broken.append(target)
    return broken


def headings(page: Path) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    lines = (line.lstrip("#").strip() for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def wide_lines(text: str) -> list[str]:
    """Lines of prose that are too wide: not of tables, code and comments, and without the targets of links."""
    wide, in_code, in_comment = [], False, False
    for line in text.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        in_comment = (in_comment or line.startswith("<!--")) and not in_code
        prose = not (in_code or in_comment or line.startswith(("|", "    ", "![")))
        if prose and len(TARGET.sub("]", line)) > WIDEST:
            wide.append(line)
        in_comment = in_comment and "-->" not in line
    return wide


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of these languages."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL):
        if language in languages:
            yield block
