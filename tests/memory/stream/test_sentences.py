"""Where sentences end: the law for every text, and what it does with prose."""

import pytest
from hypothesis import given

from nrem.memory.stream.sentences import End, sentences, units
from tests.strategies import texts


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(texts)
def test_sentences_tile_the_text(text: str) -> None:
    assert "".join(split(text)) == text
    assert all(split(text))


@pytest.mark.parametrize(
    "parts",
    [
        ["He came. ", "He left!  ", "Why? ", "Nobody knows… ", "The end."],
        ['"Is it?" he asked. ', '"It is." ', "(So it was.) ", "Then he left."],
        ["Dr. Vane met Mrs. J. R. Orrin at St. Ives. ", "They spoke."],
        ["It cost 3.5 million, i.e. 2.1 per cent. more, at No. 5, cf. Vol. 3 (see fig. 2). ", "Nothing else."],
        ["He arrived at 6 p.m. ", "She left at 7 p.m. on Oct. 5 for the U.S. Senate. ", "No. ", "So did I. ", "Done."],
        ["1. The first item. ", "2. The second, etc. and so on, etc. ", "Last."],
        ["they wrote no capitals. ", "they never did! ", "did they?"],
        ["A Heading\n\n", "A paragraph without an end\n \n", "another line\nof it. ", "Done.\r\n\r\n", "More."],
        ["今日は。", "「元気？」", "はい。\n", "He left."],
        ["\n\n  Indented. ", "Text.\n\n\n"],
        ["It grew... and grew.... ", "Then it stopped."],
    ],
)
def test_sentences_of_prose(parts: list[str]) -> None:
    assert split("".join(parts)) == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", [(5, End.SENTENCE), (4, End.PARAGRAPH)]),
        ("One." + " " * 30 + "Two.", [(10, End.SPACE)] * 3 + [(8, End.PARAGRAPH)]),
        ("12345678  One", [(10, End.SPACE), (3, End.PARAGRAPH)]),
        ("1234567.  One", [(10, End.SENTENCE), (3, End.PARAGRAPH)]),
        ("1 2 3 4 5 6 7 8", [(10, End.SPACE), (5, End.PARAGRAPH)]),
        ("x" * 25, [(10, End.WORD), (10, End.WORD), (5, End.PARAGRAPH)]),
    ],
)
def test_what_is_longer_than_any_sentence_comes_in_parts(text: str, expected: list[tuple[int, End]]) -> None:
    assert [(len(unit.text), unit.end) for unit in units([text], longest=10)] == expected
