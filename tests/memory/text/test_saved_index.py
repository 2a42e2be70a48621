"""The index that is saved beside evicted text: it is used where it is of these very chunks, and made anew where it is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from nrem.memory.saved.files import TEXT_INDEX
from nrem.memory.text import index_file
from nrem.memory.text.evicted import EvictedText
from nrem.memory.text.index import SearchIndex
from tests.evicted import TEXTS, indices, make_chunk, make_text


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("the index was built again")


def test_a_saved_index_is_used_and_gives_the_same_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evicted = make_text(tmp_path)
    hits = evicted.search("lamp in winter")
    assert evicted.save_index() == tmp_path / TEXT_INDEX == evicted.save_index()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chunks.jsonl", "index.safetensors"]
    monkeypatch.setattr(SearchIndex, "of", refuse)
    assert EvictedText(tmp_path).search("lamp in winter") == hits


@pytest.mark.parametrize("fate", ["stale", "missing file", "one bit", "cut file", "a folder"])
def test_an_index_that_cannot_be_used_is_made_anew(tmp_path: Path, fate: str) -> None:
    evicted = make_text(tmp_path)
    index = evicted.save_index()
    assert index is not None
    expected = [1, 2]
    if fate == "stale":  # as many chunks and bytes, other words
        evicted.truncate(4)
        evicted.append(make_chunk(4, TEXTS[4].replace("quotes", "lamp, a")[: len(TEXTS[4])]))
        expected = [1, 2, 4]
    elif fate == "missing file":
        index.unlink()
    elif fate == "one bit":
        content = index.read_bytes()
        index.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif fate == "cut file":
        index.write_bytes(index.read_bytes()[:-9])
    else:
        index.unlink()
        index.mkdir()
    assert not EvictedText(tmp_path).has_index
    if fate == "a folder":
        index.rmdir()
    evicted = EvictedText(tmp_path)
    assert sorted(indices(evicted.search("lit lamp"))) == expected
    evicted.save_index()
    assert sorted(indices(EvictedText(tmp_path).search("lit lamp"))) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"sentences": a["sentences"] * 0 + 10**9},  # a few bytes that ask for gigabytes
        lambda a: a | {"sentences": a["sentences"][:-1]},
        lambda a: a | {"sentences": a["sentences"] * 0},
        lambda a: a | {"rows": a["rows"] + 10**6},
        lambda a: a | {"rows": a["rows"] - 10**6},
        lambda a: a | {"rows": a["rows"].astype(np.float32)},
        lambda a: a | {"starts": a["starts"][::-1].copy()},
        lambda a: a | {"starts": a["starts"][:, None].copy()},
        lambda a: a | {"counts": a["counts"] * np.uint8(0)},
        lambda a: a | {"counts": a["counts"].astype(np.float32) * np.float32("nan")},
        lambda a: a | {"terms": np.frombuffer(b"[1]", dtype=np.uint8)},
        lambda a: (
            {"sentences": a["sentences"], "terms": np.frombuffer(b"[]", dtype=np.uint8), "starts": a["starts"][:1]}
            | {key: a[key][:0] for key in ("rows", "counts")}
        ),
        lambda a: {key: value for key, value in a.items() if key != "counts"},
    ],
    ids=[
        *("giant", "a count short", "no sentences", "points outside", "points before", "half rows", "backwards", "two axes"),
        *("counts nothing", "nan", "no terms", "empty", "a part short"),
    ],
)
def test_an_index_that_somebody_made_up_is_not_used(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
) -> None:
    """Its hash is right: whoever makes it up can compute one."""
    index = make_text(tmp_path).save_index()
    assert index is not None
    with safe_open(index, "np") as file:
        about = file.metadata()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    assert EvictedText(tmp_path).has_index
    arrays = change(arrays)
    stamp = about[index_file.ABOUT].partition(" ")[2]
    index.write_bytes(save(arrays, metadata={index_file.ABOUT: f"{index_file.hash_of(arrays, stamp)} {stamp}"}))
    assert not EvictedText(tmp_path).has_index
    assert sorted(indices(EvictedText(tmp_path).search("lit lamp"))) == [1, 2]


def test_an_index_goes_when_its_words_have_gone(tmp_path: Path) -> None:
    evicted = make_text(tmp_path)
    evicted.save_index()
    evicted.truncate(0)
    assert evicted.save_index() is None
    assert not (tmp_path / TEXT_INDEX).exists()
