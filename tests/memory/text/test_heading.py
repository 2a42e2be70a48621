"""Headings: found as the pattern that says it all in one finds them, in time that grows with the length of the text."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.memory.text.heading import heading_of, headings

PATTERN = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
LINE = st.text(st.sampled_from("###   \t\r\x0b\xa0\u2003ab*"), max_size=14) | st.from_regex(r"\A#{0,7}[ \t]{1,3}\w[\w# ]{0,6}#{0,3} ?\Z")


@settings(max_examples=500, deadline=None)
@given(LINE)
@example("# #")
@example("# C#  ")
@example("####### seven")
def test_a_line_is_the_heading_that_the_pattern_finds(line: str) -> None:
    expected = [(match.start(), match[1]) for match in PATTERN.finditer(line) if match[1].strip()]
    assert headings(line) == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["# A", "## B ##", "", "Text.", "  # Code", "#No", "### C#", "#### \tD  "]), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_text_has_the_headings_that_the_pattern_finds(lines: list[str], end: str) -> None:
    text = end.join(lines)
    assert headings(text) == [(match.start(), match[1]) for match in PATTERN.finditer(text)]


def test_a_heading_ends_with_its_line() -> None:
    assert headings("#\nText.\n# \n## B\n#   \n") == [(11, "B")]


@pytest.mark.parametrize("line", ["# x{}y", "# {}y", "#{}", "# x{}#", "# x{}# y"])
@pytest.mark.parametrize("run", [" ", "#", " #", "\t "])
def test_long_runs_take_no_time(line: str, run: str) -> None:
    """800 spaces took the pattern a second."""
    start = time.perf_counter()
    headings(line.format(run * 50_000))
    assert time.perf_counter() - start < 0.5


def kept(folder: Path, document: str, *parts: str) -> list[Chunk]:
    text, start, made = EvictedText(folder), 0, []
    for i, part in enumerate(parts):
        made.append(Chunk(document=document, title="The title", index=i, start=start, end=start + len(part), text=part, num_tokens=1))
        text.append(made[-1])
        start += len(part)
    return made


CODE = (
    "## Install\n\nRun this:\n\n```sh\n# install the tools\n",
    "apt install tools\n```\n\nThen go on.\n",
    "~~~\n# no heading\n~~~\nDone.",
)


def test_code_within_a_line_is_no_fence() -> None:
    assert headings("```inline``` x\n# H1\n") == [(15, "H1")]


def test_a_comment_in_a_block_of_code_is_no_heading(tmp_path: Path) -> None:
    """Nor where the block began in the chunk before."""
    chunks = kept(tmp_path, "guide.md (2)", *CODE)
    assert [heading_of(EvictedText(tmp_path), chunk) for chunk in chunks] == ["Install"] * 3


@pytest.mark.parametrize(
    ("document", "heading"), [("tool.py", "The title"), ("a.yaml", "The title"), ("a.md", "Copyright"), ("stdin", "Copyright")]
)
def test_a_comment_in_a_program_is_no_heading(tmp_path: Path, document: str, heading: str) -> None:
    [chunk] = kept(tmp_path, document, "# Copyright\nimport os\n")
    assert heading_of(EvictedText(tmp_path), chunk) == heading
