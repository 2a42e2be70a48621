"""The laws of cutting a document into chunks, and what it does with prose."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.stream.sentences import leads_on, sentences
from tests.strategies import texts


def count_words(text: str) -> int:
    return len(text.split())


def count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def count_wordpieces(text: str) -> int:
    """Like a real tokenizer: a space belongs to the word behind it, so the parts of a text can have more tokens than the whole."""
    return len(re.findall(r" ?\w{1,4}|\s+|[^\w\s]", text))


def count_sticky(text: str) -> int:
    """A join that costs: text with more than one word has two tokens more than its words."""
    return len(text.split()) + 2 * (len(text.split()) > 1)


COUNTERS = {"words": count_words, "bytes": count_bytes, "wordpieces": count_wordpieces, "sticky": count_sticky}

counters = st.sampled_from(sorted(COUNTERS))


def cut(text: str, count: Callable[[str], int] = count_words, max_tokens: int = 10) -> list[Chunk]:
    return list(cut_chunks([text], count_tokens=count, max_tokens=max_tokens, document="d"))


def cut_texts(text: str, count: Callable[[str], int] = count_words, max_tokens: int = 10) -> list[str]:
    return [chunk.text for chunk in cut(text, count, max_tokens)]


@st.composite
def split_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the same text in pieces, some of them empty."""
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return text, [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]


@settings(max_examples=400, deadline=None)
@given(split_texts(), counters, st.integers(4, 40))
def test_chunks_tile_the_document_within_the_limit_wherever_the_pieces_end(split: tuple[str, list[str]], counter: str, limit: int) -> None:
    text, pieces = split
    count = COUNTERS[counter]
    chunks = list(cut_chunks(pieces, count_tokens=count, max_tokens=limit, document="d", title="t", first_index=3))
    assert "".join(chunk.text for chunk in chunks) == text
    assert [chunk.index for chunk in chunks] == list(range(3, 3 + len(chunks)))
    offset = 0
    for chunk in chunks:
        assert (chunk.document, chunk.title, chunk.start, chunk.end) == ("d", "t", offset, offset + len(chunk.text))
        assert chunk.num_tokens == count(chunk.text) <= limit
        assert chunk.text
        offset = chunk.end
    assert [chunk.text for chunk in chunks] == cut_texts(text, count, limit)


@settings(max_examples=300, deadline=None)
@given(texts, st.sampled_from(["words", "bytes", "wordpieces"]), st.integers(4, 40))
def test_what_fits_in_a_chunk_is_not_cut(text: str, counter: str, limit: int) -> None:
    count = COUNTERS[counter]
    cuts = {chunk.end for chunk in cut(text, count, limit)}
    for start, end in sentences(text):
        if count(text[start:end]) <= limit:
            assert cuts.isdisjoint(range(start + 1, end))
    for word in re.finditer(r"\S+", text):
        if count(word.group()) <= limit and "。" not in word.group():
            assert cuts.isdisjoint(range(word.start() + 1, word.end()))


@settings(max_examples=200, deadline=None)
@given(texts, st.integers(4, 60))
def test_no_chunk_is_left_over_that_fits_in_the_one_before(text: str, limit: int) -> None:
    assume(all(count_bytes(gap) < limit for gap in re.findall(r"\s+", text)))  # white space of a whole chunk may stand alone
    chunks = cut(text, count_bytes, limit)  # of the counters here, the one that adds up
    for last in chunks[1:][-1:]:
        assert count_bytes(chunks[-2].text + last.text) > limit


PROSE = """CHAPTER I

The lamp was lit at six. Dr. Vane read the log, and said: "Is it ours?" Nobody spoke.

He went up. The stair has 200 steps.

Below, the sea.
"""


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (100, [PROSE]),
        (30, [PROSE[: PROSE.index("He went")], PROSE[PROSE.index("He went") :]]),  # at the end of a paragraph
        (13, ["CHAPTER I\n\nThe lamp was lit at six. ", 'Dr. Vane read the log, and said: "Is it ours?" Nobody spoke.\n\n', ...]),
    ],
)
def test_prose(limit: int, expected: list[Any]) -> None:
    chunks = cut_texts(PROSE, count_words, limit)
    known = expected[:-1] if expected[-1] is ... else expected
    assert chunks[: len(known)] == known
    assert (len(chunks) > len(known)) == (known is not expected)


def test_a_paragraph_end_wins_over_a_fuller_chunk() -> None:
    text = "One two three four. Five six.\n\nSeven eight. Nine ten eleven. Twelve thirteen fourteen fifteen sixteen."
    assert cut_texts(text, max_tokens=9)[0] == "One two three four. Five six.\n\n"


def test_but_not_when_it_would_leave_a_scrap() -> None:
    text = "One.\n\nTwo three four. Five six seven. Eight nine ten eleven twelve. Thirteen fourteen fifteen sixteen."
    assert cut_texts(text, max_tokens=9)[0] == "One.\n\nTwo three four. Five six seven. "


def test_a_heading_goes_with_what_it_announces() -> None:
    text = "One two three four. Five.\n\nThe Lamp\n\nSix seven eight nine. Ten eleven twelve thirteen fourteen."
    assert cut_texts(text, max_tokens=8) == ["One two three four. Five.\n\n", "The Lamp\n\nSix seven eight nine. ", text[-36:]]


def test_the_rest_of_a_document_is_not_a_scrap() -> None:
    text = "One two three. Four five six. Seven eight nine. Ten."
    assert cut_texts(text, max_tokens=9) == ["One two three. Four five six. ", "Seven eight nine. Ten."]


def test_the_rest_of_a_long_sentence_is_not_a_scrap() -> None:
    long, short = " ".join(["word"] * 25) + ". ", " ".join(["Word"] * 23) + ". "
    assert [chunk.num_tokens for chunk in cut(long + short * 4, max_tokens=24)] == [15, 10, 23, 23, 23, 23]


def test_white_space_at_the_end_stays_with_the_last_chunk() -> None:
    assert cut_texts("One two.\n\nThree.  \n\n\n ", max_tokens=3) == ["One two.\n\nThree.  \n\n\n "]
    assert cut_texts(" \n ") == [" \n "]
    assert cut_texts("") == []


def test_long_sentences_are_cut_at_line_ends_and_long_words_anywhere() -> None:
    lines = "".join(f"{i} some words of a table without a full stop\n" for i in range(30))
    assert all(text.endswith("\n") for text in cut_texts(lines, max_tokens=80))
    words = " ".join(["word"] * 60)
    assert all(text.endswith("word ") for text in cut_texts(words, count_bytes, max_tokens=64)[:-1])
    assert [len(text) for text in cut_texts("x" * 2500, count_bytes, max_tokens=1000)] == [1000, 1000, 500]


def test_long_words_keep_the_words_around_them_whole() -> None:
    assert cut_texts("see " + "x" * 30 + " there", count_bytes, max_tokens=16)[-1].endswith(" there")
    assert cut_texts("hello" + " " * 11, count_bytes, max_tokens=8)[0].startswith("hello")


def lines_of(num_characters: int, consumed: list[int]) -> Iterator[str]:
    for i in range(num_characters // 64):
        piece = f"Line {i} of a long story says something." + (" " * 3 if i % 7 else "\n\n")
        consumed[0] += len(piece)
        yield piece


def test_a_document_larger_than_memory_is_read_as_it_is_cut() -> None:
    consumed = [0]
    chunks = cut_chunks(lines_of(20_000_000, consumed), count_tokens=count_words, max_tokens=256, document="d")
    next(chunks)
    assert consumed[0] < 20_000
    for chunk in itertools.islice(chunks, 200):
        assert consumed[0] - chunk.end < 20_000


def test_white_space_without_end_is_not_held_back() -> None:
    consumed = [0]
    pieces = (piece[:3].replace("Lin", " \n ") for piece in lines_of(40_000_000, consumed))
    next(cut_chunks(pieces, count_tokens=count_words, max_tokens=8, document="d"))
    assert consumed[0] < 2_000_000


@pytest.mark.parametrize(
    "text",
    [
        "word " * 60_000,
        "x" * 300_000,
        " \n" * 150_000,
        "A b c. " * 40_000,
        "Mr. " * 75_000,
        "漢字。" * 100_000,
        "no end\n" * 40_000,
        "É" + "." * 300_000,
    ],
    ids=["words", "one word", "white space", "sentences", "abbreviations", "CJK", "lines", "dots"],
)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_the_work_is_linear(text: str, pieces: int) -> None:
    counted = 0

    def count(part: str) -> int:
        nonlocal counted
        counted += len(part)
        return count_wordpieces(part)

    size = -(-len(text) // pieces)
    blocks = (text[i : i + size] for i in range(0, len(text), size))
    chunks = list(cut_chunks(blocks, count_tokens=count, max_tokens=256, document="d"))
    assert "".join(chunk.text for chunk in chunks) == text
    assert counted < 10 * len(text)


def test_nothing_here_imports_torch() -> None:
    modules = "nrem.memory.stream.chunk, nrem.memory.stream.window, nrem.memory.stream.buffer, nrem.memory.text.evicted"
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; sys.exit('torch' in sys.modules)"], check=True)


def test_a_chunk_survives_its_dictionary() -> None:
    chunk = cut("One two. Three.")[0]
    assert Chunk.from_dict(chunk.to_dict()) == chunk


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 3}, "the field text of a chunk is str, got int"),
        ({"index": True}, "the field index of a chunk is int, got bool"),
        ({"end": 99}, "a chunk from 0 to 99 cannot have 15 characters"),
        ({"colour": 1}, "a chunk has the fields document, title, index, start, end, text, num_tokens, got .*colour"),
    ],
)
def test_a_dictionary_that_is_no_chunk_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(MemoryFolderError, match=message):
        Chunk.from_dict(cut("One two. Three.")[0].to_dict() | change)


def test_values_that_are_no_dictionary_are_refused() -> None:
    with pytest.raises(MemoryFolderError, match=r"a chunk has the fields .*, got list"):
        Chunk.from_dict([])  # type: ignore[arg-type]
    with pytest.raises(MemoryFolderError, match="got none"):
        Chunk.from_dict({})


def test_limits_that_cannot_be_met_are_refused() -> None:
    with pytest.raises(UsageError, match="max_tokens: got 0, expected 1 or more"):
        cut("text", max_tokens=0)
    with pytest.raises(UsageError, match="d: the character '😀' at 2 has 4 tokens, expected at most 3 in a chunk: raise chunk_tokens"):
        cut("a 😀 b", count_bytes, max_tokens=3)


@pytest.mark.parametrize("heading", ["## The works", "The works", "What was built there:", "The works\nand what was built there:"])
def test_a_heading_stays_with_what_it_is_over(heading: str) -> None:
    before, below = "The harbour froze in May. " * 3, "A reed mill was set up by the brook. " * 3
    chunks = [chunk.text for chunk in cut(f"{before}\n\n{heading}\n\n{below}\n\n{before}", max_tokens=34)]
    assert "".join(chunks) == f"{before}\n\n{heading}\n\n{below}\n\n{before}"
    assert any(chunk.startswith(f"{heading}\n\nA reed mill") or f"\n\n{heading}\n\nA reed mill" in chunk for chunk in chunks)


@pytest.mark.parametrize("last", ["It froze again.", "- the boats", "| boats | 7 |", "“It froze!”", "3. boats", "the boats,"])
def test_what_is_no_heading_may_end_a_chunk(last: str) -> None:
    assert not leads_on(f"{last}\n\n", alone=True)
    assert not leads_on("The works\n\n", alone=False)
    assert not leads_on("The works ", alone=True)


def test_a_heading_that_does_not_fit_with_what_follows_is_no_chunk_of_its_own() -> None:
    below = "".join(f"| row {n} | {n} |\n" for n in range(7))
    texts = [chunk.text for chunk in cut(f"{'It froze in May. ' * 3}\n\nThe works\n\n{below}\n\nIt froze. ", max_tokens=36)]
    assert not any(text.strip() == "The works" for text in texts)
