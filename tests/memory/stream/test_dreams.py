"""Dreams come back with their chunk as they were; without any a chunk is what it was before there were any; what is none is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.json_text import json_text
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.memory.stream.dreams import LONGEST_DREAM
from nrem.memory.text.evicted import EvictedText
from tests.strategies import chunks

PLAIN = {"document": "d", "title": "t", "index": 0, "start": 0, "end": 5, "text": "Lamp.", "num_tokens": 2}
ASKED = [["Who kept the lamp?", "Maren Tull"], ["Wann? 漢 \u2028", "“1871”\n😀 \x00"]]
LONG = "x" * LONGEST_DREAM


@settings(max_examples=200, deadline=None)
@given(chunks)
def test_a_chunk_survives_its_dictionary_and_json(chunk: Chunk) -> None:
    values = chunk.to_dict()
    assert Chunk.from_dict(values) == chunk
    back = Chunk.from_dict(json.loads(json_text(values, ensure_ascii=False)))
    assert back == chunk
    assert all(isinstance(asked, QuestionAnswer) for asked in back.dreamt)
    assert ("dreamt" in values) == bool(chunk.dreamt)


@settings(max_examples=30, deadline=None)
@given(chunks, chunks)
def test_chunks_survive_the_disk(tmp_path_factory: pytest.TempPathFactory, first: Chunk, second: Chunk) -> None:
    text = EvictedText(tmp_path_factory.mktemp("text"))
    for chunk in (first, second, first):
        text.append(chunk)
    assert list(text) == list(EvictedText(text.folder)) == [first, second, first]
    text.truncate(1)
    text.append(second)
    assert list(EvictedText(text.folder)) == [first, second]


def test_without_dreams_the_bytes_are_as_before(tmp_path: Path) -> None:
    """As schemas 1 to 4 wrote them."""
    assert Chunk.from_dict(PLAIN).dreamt == ()
    assert Chunk.from_dict(PLAIN | {"dreamt": []}).to_dict() == PLAIN
    text = EvictedText(tmp_path)
    text.append(Chunk.from_dict(PLAIN))
    expected = b'{"document": "d", "title": "t", "index": 0, "start": 0, "end": 5, "text": "Lamp.", "num_tokens": 2}\n'
    assert text.path.read_bytes() == expected
    text.append(Chunk.from_dict(PLAIN | {"index": 1, "dreamt": ASKED[:1]}))
    assert text.path.read_bytes().endswith(b'"num_tokens": 2, "dreamt": [["Who kept the lamp?", "Maren Tull"]]}\n')


def test_the_search_finds_texts_and_not_dreams(tmp_path: Path) -> None:
    text = EvictedText(tmp_path)
    text.append(Chunk.from_dict(PLAIN | {"dreamt": ASKED}))
    text.save_index()
    assert [hit.chunk.index for hit in text.search("lamp")] == [0]
    assert text.search("Maren Tull") == []


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


WRONG: dict[str, tuple[Any, str]] = {
    "null": (None, "dreamt of a chunk is a list of questions with their answers, got NoneType"),
    "a text": ("Who?", "dreamt of a chunk is a list of questions with their answers, got str"),
    "a number": (3, "got int"),
    "a flag": (False, "got bool"),
    "a giant number": (10**5000, "got int"),
    "an object": ({"Who?": "Maren"}, "got dict"),
    "texts": (["Who?", "Maren"], r"dreamt\[0\] of a chunk is a question with its answer, got str"),
    "an object inside": ([*ASKED, {"question": "Who?", "answer": "Maren"}], r"dreamt\[2\] of a chunk is .*, got dict"),
    "nothing inside": ([[]], "got 0 values"),
    "one": ([["Who?"]], "got 1 values"),
    "three": ([["Who?", "Maren", "Tull"]], "got 3 values"),
    "very many": ([["x"] * 10**6], "got 1000000 values"),
    "a number for an answer": ([["Who?", 3]], "got int as answer"),
    "null for a question": ([[None, "Maren"]], "got NoneType as question"),
    "a list for a question": ([[["Who?"], "Maren"]], "got list as question"),
    "deep": (nested(5000), "got 1 values"),
    "deep inside": ([["Who?", nested(5000)]], "got list as answer"),
    "blank question": ([["", "Maren"]], "got a blank question"),
    "blank answer": ([["Who?", " \n\u2003"]], "got a blank answer"),
    "long question": ([[LONG, LONG], ["x" + LONG, "Maren"]], r"dreamt\[1\].* got 1,001 characters as question, expected at most 1,000"),
    "giant answer": ([["Who?", "x" * 10**6]], "got 1,000,000 characters as answer, expected at most 1,000"),
    "giant blank": ([["Who?", " " * 10**6]], "got 1,000,000 characters as answer"),
    "half a pair": ([["Who \ud83d?", "Maren"]], "got half of a surrogate pair in the question"),
    "the other half": ([["Who?", "\ude00"]], "got half of a surrogate pair in the answer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_dream_is_refused_in_a_short_sentence_that_names_the_field(name: str, tmp_path: Path) -> None:
    values, words = WRONG[name]
    with pytest.raises(MemoryFolderError, match="the field .*" + words) as told:
        Chunk.from_dict(PLAIN | {"dreamt": values})
    assert len(str(told.value)) < 150
    if name == "a giant number" or name.startswith("deep"):  # JSON of these is refused before
        return
    line = json.dumps(PLAIN | {"dreamt": values}).encode() + b"\n"
    (tmp_path / "chunks.jsonl").write_bytes(line)
    with pytest.raises(MemoryFolderError, match=rf"chunks\.jsonl: line 1 is damaged \(the field .*{words}.*\); restore the file"):
        EvictedText(tmp_path)


@pytest.mark.parametrize("pair", [("Who?", ""), ("Who \ud83d?", "Maren"), ("Who?", LONG + "x")])
def test_what_could_not_be_read_again_is_never_kept(pair: tuple[str, str]) -> None:
    with pytest.raises(MemoryFolderError, match=r"the field dreamt\[0\] of a chunk"):
        Chunk(document="d", title="t", index=0, start=0, end=1, text="a", num_tokens=1, dreamt=(QuestionAnswer(*pair),))


def test_another_field_is_refused_shortly() -> None:
    with pytest.raises(MemoryFolderError, match=r"a chunk has the fields document, .*, num_tokens, got") as told:
        Chunk.from_dict(PLAIN | {"x" * 10**6: 1})
    assert len(str(told.value)) < 400
