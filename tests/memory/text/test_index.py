"""The index: the best window counts as much as the whole, words beside their pieces, and a saved one gives the same scores."""

from pathlib import Path

import pytest

from nrem.memory.text.index import SearchIndex, windows_of
from nrem.memory.text.index_file import load_index_file, save_index_file

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


def test_windows_are_runs_of_three_sentences_or_lines() -> None:
    assert windows_of("One. Two! Three? Four.") == ["One. Two! Three?", "Two! Three? Four."]
    assert windows_of("a\nb\n\nc\nd") == ["a b c", "b c d"]
    assert windows_of("灯台は古い。油は船で来た。夜は長い。雨が降る。") == [
        "灯台は古い。 油は船で来た。 夜は長い。",
        "油は船で来た。 夜は長い。 雨が降る。",
    ]
    assert windows_of("One.") == ["One."]
    assert windows_of("  ") == [""]


def test_a_saved_index_scores_the_same(tmp_path: Path) -> None:
    index = SearchIndex.of(TEXTS)
    assert index is not None
    save_index_file(index, tmp_path, "stamp")
    assert load_index_file(tmp_path, "stamp", len(TEXTS)).scores("the oil of the lamp") == pytest.approx(
        index.scores("the oil of the lamp")
    )


def test_no_words_no_index_and_unknown_words_no_score() -> None:
    assert SearchIndex.of(["...", ""]) is None
    index = SearchIndex.of(TEXTS)
    assert index is not None
    assert index.scores("xyzzy") == [0.0, 0.0, 0.0]
    assert index.scores("") == [0.0, 0.0, 0.0]
