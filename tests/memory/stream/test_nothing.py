"""What says nothing is known by its form; what says something, in whatever form, is not taken for it."""

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrem.memory.stream import nothing
from nrem.memory.stream.chunk import cut_chunks
from nrem.memory.stream.nothing import Form, says_nothing

CONTENTS = "\n".join(f"{i}. {name} {'.' * (60 - len(name))} {7 * i}" for i, name in enumerate(("Introduction", "The harbour", "Index"), 1))
TABLE = "| name | year |\n|------|-----:|\n| Orrin | 1874 |\n"


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 500,
        " \t\n\u00a0\u3000",
        "." * 300,
        ". . . . . . . .",
        "…………",
        "-----\n=====\n",
        "|------|-----:|\n",
        "+----+----+\n|    |    |\n+====+====+\n",
        "┌──┬──┐\n│  │  │\n└──┴──┘\n",
        "* * *\n\n* * *",
        "a" * 400,
        "A a A a A",
        "0000 0000",
        "哈哈哈哈哈哈",
        "_" * 90 + "\n",
        "🎉" * 20,
    ],
    ids=lambda text: text[:12].strip() or "blank",
)
def test_text_that_says_nothing(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        CONTENTS,
        TABLE,
        "7",
        "A",
        "xxx",
        "....................... 12",
        "Ja.",
        "灯",
        "👍🙂",
        "}\n\n    return x\n",
        "+++++[>+++++++<-]>.,",
        "!(~%$#@^&*)",
        "0101",
        inspect.getsource(nothing),
        *(path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[3] / "configs" / "calibration").glob("*.md"))),
    ],
    ids=lambda text: text[:12].strip(),
)
def test_text_that_says_something(text: str) -> None:
    assert not says_nothing(text)


def test_no_chunk_of_real_text_says_nothing_and_rules_between_do() -> None:
    text = CONTENTS + "\n\n" + "." * 3000 + "\n\n" + TABLE + "\n" * 3000 + inspect.getsource(nothing)
    chunks = list(cut_chunks([text], count_tokens=len, max_tokens=256, document="d"))
    assert "".join(chunk.text for chunk in chunks) == text
    assert 20 <= sum(chunk.says_nothing for chunk in chunks) <= 26
    assert all(not set(chunk.text) - set(". \n") for chunk in chunks if chunk.says_nothing)


@given(st.lists(st.text("a.b-\n 1é🎉", max_size=6), max_size=8))
def test_where_the_pieces_end_has_no_influence(pieces: list[str]) -> None:
    form = Form()
    for piece in pieces:
        form.add(piece)
    assert form.says_nothing == says_nothing("".join(pieces))
    assert form.blank == (not "".join(pieces).strip())
