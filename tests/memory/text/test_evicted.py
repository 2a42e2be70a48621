"""Evicted text comes back as it went in, also after a kill, and is found by its words."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.text.evicted import SHARPNESS, EvictedText
from tests.evicted import CHUNKS, indices, make_chunk, make_text


def test_chunks_come_back_in_order_and_by_index(tmp_path: Path) -> None:
    written = make_text(tmp_path / "new" / "text")
    for evicted in (written, EvictedText(written.folder), EvictedText(str(written.folder))):
        assert len(evicted) == len(CHUNKS)
        assert list(evicted) == CHUNKS
        assert [evicted.get(i) for i in (4, 0, 2)] == [CHUNKS[4], CHUNKS[0], CHUNKS[2]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=20), max_size=6))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("text")
    chunks = [make_chunk(i, text) for i, text in enumerate(texts)]
    make_text(folder, chunks)
    assert list(EvictedText(folder)) == chunks


def test_every_chunk_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    evicted = EvictedText(tmp_path)
    for number, chunk in enumerate(CHUNKS, 1):
        evicted.append(chunk)
        assert len(EvictedText(tmp_path)) == number


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    evicted = EvictedText(tmp_path / "none")
    assert (len(evicted), list(evicted), evicted.search("lamp"), evicted.save_index()) == (0, [], [], None)
    assert not evicted.folder.exists()


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    chunks = [make_chunk(0, "half a pair: \ud83d."), CHUNKS[1]]
    make_text(tmp_path, chunks)
    assert list(EvictedText(tmp_path)) == chunks


def test_a_short_chunk_over_a_long_torn_line_leaves_nothing_of_it(tmp_path: Path) -> None:
    evicted = make_text(tmp_path, CHUNKS[:1])
    with evicted.path.open("ab") as file:
        file.write(b"x" * 5000)
    evicted = EvictedText(tmp_path)
    evicted.append(CHUNKS[3])
    assert list(EvictedText(tmp_path)) == [CHUNKS[0], CHUNKS[3]]
    assert evicted.path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("kept_bytes", [1, 40, -1])
def test_a_torn_last_line_is_dropped(tmp_path: Path, kept_bytes: int) -> None:
    path = make_text(tmp_path).path
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = b"".join(lines[:-1]) + lines[-1][:kept_bytes]
    path.write_bytes(torn)
    evicted = EvictedText(tmp_path)
    assert list(evicted) == CHUNKS[:-1]
    assert path.read_bytes() == torn  # reading changes nothing
    evicted.append(CHUNKS[-1])
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{]", r"line 2 is damaged \(Expecting property name"),
        (b"\xff\xfe", r"line 2 is damaged \('utf"),
        (b"", r"line 2 is damaged \(Expecting value"),
        (b'{"text": "x"}', r"line 2 is damaged \(a chunk has the fields document, title, .*, got text\); restore the file or sleep again"),
    ],
)
@pytest.mark.parametrize("last", [2, 5], ids=["last line", "earlier line"])
def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path, line: bytes, message: str, last: int) -> None:
    path = make_text(tmp_path).path
    lines = path.read_bytes().splitlines()[:last]
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]) + b"\n")
    with pytest.raises(MemoryFolderError, match=rf"chunks\.jsonl: {message}"):
        EvictedText(tmp_path)


def test_damage_after_opening_is_an_error_too(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    evicted.path.write_bytes(b"?" * evicted.path.stat().st_size)
    with pytest.raises(MemoryFolderError, match=r"chunks\.jsonl: line 3 is damaged"):
        evicted.get(2)
    with pytest.raises(MemoryFolderError, match=r"chunks\.jsonl: line 1 is damaged"):
        list(evicted)


def test_truncating_and_appending_again_gives_the_same_file(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    whole = evicted.path.read_bytes()
    for length in range(len(CHUNKS) + 1):
        evicted.truncate(length)
        assert list(evicted) == list(EvictedText(tmp_path)) == CHUNKS[:length]
        for chunk in CHUNKS[length:]:
            evicted.append(chunk)
        assert evicted.path.read_bytes() == whole
    EvictedText(tmp_path / "none").truncate(0)


def test_truncating_removes_a_torn_line(tmp_path: Path) -> None:
    path = make_text(tmp_path).path
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"text": "half')
    EvictedText(tmp_path).truncate(len(CHUNKS))
    assert path.read_bytes() == whole


def test_search_finds_words_best_first(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    assert indices(evicted.search("Who lit the LAMP?")) == [1, 2]
    assert indices(evicted.search("lighthouse 1874")) == [0]
    assert indices(evicted.search("Who lit the lamp?", k=1)) == [1]
    scores = [hit.score for hit in evicted.search("winter lamp lighthouse")]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0


def test_search_finds_other_forms_of_a_word(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    assert indices(evicted.search("Which lighthouses?")) == [0]
    assert indices(evicted.search("Why is it freezing in the harbours?", k=1)) == [2]


@pytest.mark.parametrize("query", ["", "  ?!", "the and of", "x", "zeppelin"])
def test_a_query_without_known_words_finds_nothing(tmp_path: Path, query: str) -> None:
    assert make_text(tmp_path).search(query) == []


def test_texts_without_words_can_be_searched(tmp_path: Path) -> None:
    evicted = make_text(tmp_path, [make_chunk(0, "the ..."), make_chunk(1, "")])
    assert (evicted.search("lamp"), evicted.save_index()) == ([], None)


def test_equal_scores_come_in_reading_order(tmp_path: Path) -> None:
    evicted = make_text(tmp_path, [make_chunk(i, "nothing here" if i in (0, 3) else "the lamp burns") for i in range(9)])
    assert indices(evicted.search("lamp", k=4)) == [1, 2, 4, 5]
    assert indices(evicted.search("lamp", k=99)) == [1, 2, 4, 5, 6, 7, 8]


def test_chunks_count_by_how_well_they_match(tmp_path: Path) -> None:
    texts = ["the red lamp of the old harbour", "the red roofs of the old harbour", "no words of it"]
    evicted = make_text(tmp_path, [make_chunk(i, text) for i, text in enumerate(texts)])
    question = "Who lit the red lamp of the old harbour?"
    first, second = evicted.search(question, k=3)
    expected = {0: 1.0, 1: round((second.score / first.score) ** SHARPNESS, 2)}
    assert evicted.shares(question, 3) == expected
    assert 0 < expected[1] < 1
    assert evicted.shares(question, 1) == {0: 1.0}
    assert evicted.shares("roofs", 3) == {1: 1.0}
    assert evicted.shares("zeppelin", 3) == {}


def test_search_sees_what_was_appended_and_not_what_was_cut_off(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    assert evicted.search("zeppelin") == []
    evicted.append(make_chunk(5, "A zeppelin passed."))
    assert indices(evicted.search("zeppelin")) == [5]
    evicted.truncate(5)
    assert evicted.search("zeppelin") == []


def test_requests_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    for index in (-1, 5):
        with pytest.raises(UsageError, match=rf"chunks\.jsonl: holds 5 chunks, got index {index}, expected 0 or more and less than that"):
            evicted.get(index)
    for length in (-1, 6):
        with pytest.raises(MemoryFolderError, match=rf"chunks\.jsonl: holds 5 chunks, cannot go back to {length}: start the run again"):
            evicted.truncate(length)
    with pytest.raises(UsageError, match="k: got 0, expected 1 or more chunks to search for"):
        evicted.search("lamp", k=0)
