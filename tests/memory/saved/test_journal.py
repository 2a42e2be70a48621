"""The journal survives a kill at any moment: whole lines, and the old checkpoint or the new one."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved import journal as journal_module
from nrem.memory.saved.files import EVENTS, RESUME
from nrem.memory.saved.journal import Journal

EVENT = {"kind": "pass", "text": "Ünï\n\u2028", "loss": 1.5}


def test_events_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "new" / "run")
    assert journal.events() == []
    for number in range(3):
        journal.append(EVENT | {"number": number})
    assert Journal.open(journal.folder).events() == [EVENT | {"number": number} for number in range(3)]


@settings(max_examples=30, deadline=None)
@given(lost=st.integers(1, 200))
def test_a_torn_last_line_is_left_out(tmp_path_factory: pytest.TempPathFactory, lost: int) -> None:
    journal = Journal.open(tmp_path_factory.mktemp("run"))
    for number in range(3):
        journal.append(EVENT | {"number": number})
    path = journal.folder / EVENTS
    whole = path.read_bytes()
    torn = whole[: max(0, len(whole) - lost)]
    path.write_bytes(torn)
    events = [EVENT | {"number": number} for number in range(torn.count(b"\n"))]
    assert journal.events() == events
    journal.append({"number": "next"})
    assert journal.events() == [*events, {"number": "next"}]


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    assert journal.latest() is None
    tensors = {"a": torch.randn(3, 4), "b": torch.randn(4, 3).T, "c": torch.tensor([2**40, -1]), "d": torch.randn(2).bfloat16()}
    journal.checkpoint({"done": 3, "name": "Ünï"}, tensors)
    latest = journal.latest()
    assert latest is not None
    assert latest[0] == {"done": 3, "name": "Ünï"}
    assert latest[1].keys() == tensors.keys()
    assert all(torch.equal(latest[1][key], tensor) and latest[1][key].dtype == tensor.dtype for key, tensor in tensors.items())


@pytest.mark.parametrize("moment", ["save_file", "os.replace"])
def test_a_kill_while_checkpointing_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    journal = Journal.open(tmp_path)
    journal.checkpoint({"done": 1}, {"a": torch.ones(2)})

    def torn(tensors: Any, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"half of it")
        raise KeyboardInterrupt

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    if moment == "save_file":
        monkeypatch.setattr(journal_module, "save_file", torn)
    else:
        monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.checkpoint({"done": 2}, {"a": torch.zeros(2)})
    monkeypatch.undo()
    latest = Journal.open(tmp_path).latest()
    assert latest is not None
    assert latest[0] == {"done": 1}
    assert torch.equal(latest[1]["a"], torch.ones(2))
    journal.checkpoint({"done": 3}, {})
    assert (journal.latest() or ({}, {}))[0] == {"done": 3}


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.checkpoint({"done": 1}, {"a": torch.ones(200)})
    path = tmp_path / RESUME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MemoryFolderError, match=r"resume\.safetensors: the checkpoint is damaged .*; start again with --force"):
        journal.latest()


def test_any_bit_of_a_checkpoint_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.checkpoint({"done": 1, "nll": [0.5]}, {"a": torch.randn(7), "b": torch.randn(3).bfloat16(), "empty": torch.zeros(0)})
    path = tmp_path / RESUME
    content = path.read_bytes()
    before, harmless = journal.latest(), 0
    assert before is not None
    for bit in range(0, 8 * len(content), 3):
        path.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :])
        with suppress(MemoryFolderError):
            found = journal.latest()
            assert found is not None
            assert found[0] == before[0]
            assert all(torch.equal(found[1][key], tensor) for key, tensor in before[1].items())
            harmless += 1
    assert harmless < 40, "only the name of the format and spaces may change"


def test_a_measurement_that_came_to_no_number_comes_back_as_one(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.checkpoint({"nll": [1.0, float("nan")], "sleep": None}, {})
    state, _ = journal.latest() or ({}, {})
    assert state["sleep"] is None
    assert state["nll"][0] == 1.0
    assert state["nll"][1] != state["nll"][1]
    assert b"NaN" not in (tmp_path / RESUME).read_bytes()


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for number in range(3):
        journal.append({"number": number})
    path = tmp_path / EVENTS
    path.write_bytes(path.read_bytes().replace(b'"number": 1', b'"number": 9'))
    with pytest.raises(MemoryFolderError, match=r"journal\.jsonl: line 2 is damaged \(its hash differs\); start again with --force"):
        journal.events()


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RESUME)
    with pytest.raises(MemoryFolderError, match=r"resume\.safetensors is a pipe, expected a regular file"):
        Journal(tmp_path).latest()


def test_anew_throws_away_what_was_there(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "run")
    journal.append(EVENT)
    journal.checkpoint({}, {})
    assert Journal.open(tmp_path / "run", anew=True).events() == []
    assert Journal.open(tmp_path / "run").latest() is None
    journal.remove()
    assert not (tmp_path / "run").exists()
