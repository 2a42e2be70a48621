"""The window evicts all or nothing, never exceeds its size, and loses no text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.stream.window import StreamConfig, Window

STORY = "One two three. Four five six seven. Eight nine. Ten eleven twelve thirteen. Fourteen fifteen. Sixteen."


def count(text: str) -> int:
    return len(text.split())


def make_config(chunk_tokens: int = 4, window_tokens: int = 10, overlap_tokens: int = 0, buffer_tokens: int = 20) -> StreamConfig:
    return StreamConfig(chunk_tokens=chunk_tokens, window_tokens=window_tokens, overlap_tokens=overlap_tokens, buffer_tokens=buffer_tokens)


def make_chunks(text: str = STORY, max_tokens: int = 4) -> list[Chunk]:
    return list(cut_chunks([text], count_tokens=count, max_tokens=max_tokens, document="d"))


def texts(chunks: tuple[Chunk, ...]) -> list[str]:
    return [chunk.text for chunk in chunks]


def test_when_a_chunk_does_not_fit_all_go() -> None:
    window = Window(make_config(), count)
    chunks = make_chunks()
    assert [window.push(chunk) for chunk in chunks[:3]] == [(), (), ()]
    assert (window.text, window.num_tokens) == ("One two three. Four five six seven. Eight nine. ", 9)
    assert window.push(chunks[3]) == tuple(chunks[:3])
    assert (window.text, window.chunks) == (chunks[3].text, (chunks[3],))
    assert window.flush() == (chunks[3],)
    assert (window.text, window.num_tokens, window.flush()) == ("", 0, ())


def test_a_window_can_be_filled_to_the_last_token() -> None:
    window = Window(make_config(), count)
    for text in ("a b c d ", "e f g h ", "i j"):
        assert window.push(make_chunks(text)[0]) == ()
    assert window.num_tokens == 10


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [(6, "Four five six seven. Eight nine. "), (5, "Eight nine. "), (2, "Eight nine. "), (1, "nine. "), (0, "")],
)
def test_the_overlap_is_whole_sentences_else_whole_words(overlap: int, expected: str) -> None:
    window = Window(make_config(overlap_tokens=overlap), count)
    chunks = make_chunks()
    for chunk in chunks[:4]:
        window.push(chunk)
    assert window.overlap == expected
    assert window.text == expected + chunks[3].text
    assert window.num_tokens == count(window.text)
    assert window.flush() == (chunks[3],)
    assert window.text == ""


def test_no_overlap_where_not_even_a_word_fits() -> None:
    window = Window(StreamConfig(chunk_tokens=40, window_tokens=50, overlap_tokens=3), len)
    for text in ("A tremendously.", "B tremendously. Or longer than that."):
        window.push(Chunk(document="d", title="", index=0, start=0, end=len(text), text=text, num_tokens=len(text)))
    assert window.overlap == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b. ", "C d e. ", " ", "\n\n", "F g? "]), max_size=60).map("".join), st.integers(0, 6))
def test_every_chunk_is_evicted_once_in_order_and_the_window_never_overflows(text: str, overlap: int) -> None:
    chunks = make_chunks(text)
    window = Window(make_config(overlap_tokens=overlap), count)
    evicted: list[Chunk] = []
    for chunk in chunks:
        evicted += window.push(chunk)
        assert window.num_tokens <= 10
        assert count(window.overlap) <= overlap
        assert text[: chunk.end].endswith(window.text)
    assert [*evicted, *window.flush()] == chunks


def test_a_chunk_larger_than_the_window_is_refused() -> None:
    (chunk,) = make_chunks("word " * 11, max_tokens=11)
    with pytest.raises(UsageError, match=r"d: chunk 0 has 11 tokens, expected at most stream\.window_tokens, 10: cut smaller chunks"):
        Window(make_config(), count).push(chunk)


def test_a_larger_chunk_than_agreed_takes_its_room_from_the_overlap() -> None:
    window = Window(make_config(overlap_tokens=6), count)
    chunks = make_chunks()
    for chunk in chunks[:3]:
        window.push(chunk)
    window.push(make_chunks("word " * 9, max_tokens=9)[0])
    assert (window.overlap, window.num_tokens) == ("nine. ", 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chunk_tokens": 0}, r"stream\.chunk_tokens: got 0, expected a whole number, 1 or more"),
        ({"window_tokens": -1}, r"stream\.window_tokens: got -1, expected a whole number, 1 or more"),
        ({"overlap_tokens": -1}, r"stream\.overlap_tokens: got -1, expected a whole number, 0 or more"),
        ({"buffer_tokens": 2.5}, r"stream\.buffer_tokens: got 2\.5, expected a whole number, 1 or more"),
        ({"buffer_tokens": True}, r"stream\.buffer_tokens: got True, expected a whole number"),
        (
            {"chunk_tokens": 11},
            r"stream\.chunk_tokens: got 11, expected at most stream\.window_tokens, 10: lower the one or raise the other",
        ),
        (
            {"overlap_tokens": 7},
            r"stream\.overlap_tokens: got 7, expected at most 6, what stream\.window_tokens 10 leaves beside a chunk of 4",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_config(**values)
