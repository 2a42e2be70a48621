"""The index: the best window counts as much as the whole, words beside their pieces, and a saved one gives the same scores.

Those are the scores of the slow, obvious way, which holds every window as a list of strings and leaves the rest to bm25s.
"""

import re
import tracemalloc
from itertools import zip_longest
from pathlib import Path
from typing import Any

import bm25s
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.text import postings
from nrem.memory.text.index import WINDOW, SearchIndex, sentences_of
from nrem.memory.text.index_file import load_index_file, save_index_file
from nrem.memory.text.pieces import all_words
from nrem.memory.text.terms import terms_of

FILLER = "The keeper wrote letters. Ships came in spring. Nobody counted the gulls. The road was long. Rain fell on the roofs."
TEXTS = [
    f"{FILLER} The lamp burned 60 litres of oil a night. {FILLER}",
    "The lamp was old. The oil came by boat. A night was long. Litres were measured in jars.",
    f"{FILLER} Maren Tull kept the lighthouse.",
]


def test_what_stands_together_is_found_before_what_stands_apart() -> None:
    index = SearchIndex.of(TEXTS)
    assert index is not None
    scores = index.scores("How many litres of oil did the lamp burn a night?")
    assert scores.index(max(scores)) == 0
    assert all(0 <= score <= 1 for score in scores)
    assert max(index.scores("Who kept the lighthouse?")) == pytest.approx(index.scores("Who kept the lighthouse?")[2])


def test_the_name_of_a_document_does_not_lead_to_those_that_repeat_it() -> None:
    texts = [f"Pellaworth Works. {FILLER}", f"{FILLER} The loss of oil was due to the flood.", "***", FILLER]
    question = "What was the oil loss at Pellaworth Works?"
    plain, told = SearchIndex.of(texts), SearchIndex.of(texts, ["Pellaworth Works"] * 4)
    assert plain is not None
    assert told is not None
    assert plain.scores(question).index(max(plain.scores(question))) == 0
    assert told.scores(question).index(max(told.scores(question))) == 1
    assert told.scores("Pellaworth")[2] == 0, "what has no words of its own is not found by its document's"
    assert SearchIndex.of(["...", ""], ["Pellaworth", "Pellaworth"]) is None


def test_sentences_end_where_they_end_in_any_script() -> None:
    assert sentences_of("One. Two! Three? Four.") == ["One.", "Two!", "Three?", "Four."]
    assert sentences_of("a\nb\n\nc 0.5\nd") == ["a", "b", "c 0.5", "d"]
    assert sentences_of("灯台は古い。油は船で来た。") == ["灯台は古い。", "油は船で来た。"]
    assert sentences_of("  ") == [""]


def windows_of(text: str) -> list[str]:
    parts = [part for part in re.split(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+", text) if part and part.strip()]
    return [" ".join(parts[i : i + WINDOW]) for i in range(max(1, len(parts) - WINDOW + 1))]


def bm25(rows: list[list[str]], asked: list[str]) -> list[float]:
    vocabulary: dict[str, int] = {}
    index = bm25s.BM25()
    index.index(([[vocabulary.setdefault(term, len(vocabulary)) for term in row] for row in rows], vocabulary), show_progress=False)
    scores: list[float] = index.get_scores(asked).tolist() if index.get_tokens_ids(asked) else [0.0] * len(rows)
    return scores


def obvious_scores(texts: list[str], subjects: list[str], question: str) -> list[float] | None:
    asked = terms_of(question)
    wholes = [terms + terms_of(about) if (terms := terms_of(t)) else [] for t, about in zip_longest(texts, subjects, fillvalue="")]
    if not any(wholes):
        return None
    windows = iter(bm25([terms_of(window) for text in texts for window in windows_of(text)], asked))
    best = [max(next(windows) for _ in windows_of(text)) for text in texts]
    whole = bm25(wholes, asked)
    if not max(whole):
        return [0.0] * len(texts)
    return [(a / max(whole) + b / (max(best) or 1)) / 2 for a, b in zip(whole, best, strict=True)]


def agree(texts: list[str], subjects: list[str], question: str) -> None:
    index, expected = SearchIndex.of(texts, subjects), obvious_scores(texts, subjects, question)
    assert (index is None) == (expected is None)
    if index is not None:
        assert index.scores(question) == pytest.approx(expected, rel=1e-6, abs=1e-12)


MANY = [
    *TEXTS,
    "***\n\n***",
    "",
    "a,1\nb,2\nc,3\na,4",
    "灯台は古い。油は船で来た。「夜」は長い！雨が降る",
    "ΟΔΟΣ. ΣΑΣ!\nΣ",
    "O'Brien’s. 's",
]


@pytest.mark.parametrize(
    "question",
    ["How many litres of oil did the lamp burn a night?", "the lamp, the lamp", "a 4", "油は", "ὁδός οδος", "Brien", "Pellaworth", "?"],
)
@pytest.mark.parametrize("subjects", [[], ["Pellaworth lamp"] * len(MANY), [f"Part {i}" for i in range(len(MANY))]])
def test_scores_are_those_of_the_obvious_way(question: str, subjects: list[str]) -> None:
    agree(MANY, subjects, question)


WRITTEN = st.text(st.sampled_from("ab1 .!?\n'’。！灯油Σσş\u0301\u3099가ｶﾞ\u1100\u1161…\u2028\x1c\u200dก็") | st.characters(), max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WRITTEN, WRITTEN), min_size=1, max_size=5), WRITTEN)
def test_scores_are_those_of_the_obvious_way_for_any_text(chunks: list[tuple[str, str]], question: str) -> None:
    texts, subjects = [text for text, _ in chunks], [subject for _, subject in chunks]
    agree(texts, subjects, question)
    agree(texts, subjects, texts[0])


def test_each_sentence_is_read_once_and_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The obvious way reads the words of a sentence eight times, and takes some 400 bytes a character."""
    read: list[int] = []

    def counted(text: str) -> list[str]:
        read.append(len(text))
        return all_words(text)

    monkeypatch.setattr(postings, "all_words", counted)
    texts = [" ".join(f"Keeper {i} of lamp {j} counted {i * j} ships." for j in range(40)) for i in range(100)]
    tracemalloc.start()
    index: Any = SearchIndex.of(texts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    length = sum(map(len, texts))
    assert index is not None
    assert sum(read) <= length
    assert peak < 80 * length


def test_a_saved_index_scores_the_same(tmp_path: Path) -> None:
    index = SearchIndex.of(TEXTS)
    assert index is not None
    save_index_file(index, tmp_path, "stamp")
    loaded = load_index_file(tmp_path, "stamp", len(TEXTS))
    assert loaded.scores("the oil of the lamp") == index.scores("the oil of the lamp")


def test_no_words_no_index_and_unknown_words_no_score() -> None:
    assert SearchIndex.of(["...", ""]) is None
    index = SearchIndex.of(TEXTS)
    assert index is not None
    assert index.scores("xyzzy") == [0.0, 0.0, 0.0]
    assert index.scores("") == [0.0, 0.0, 0.0]
