"""Memories and protocols that earlier versions of nrem wrote open, verify and answer; `tests/schemas/README.md` says which they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from nrem.memory.errors import NremError
from nrem.memory.memory import Memory, Route
from nrem.memory.saved.record import SCHEMA_VERSION
from nrem.memory.saved.record_file import read_record
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.rewrite import forget, merge
from nrem.runtime.session.session import Session
from nrem.runtime.show.memory import memory_report, memory_to_dict
from nrem.runtime.wake.wake import Wake
from tests import tiny

ROOT = Path(__file__).parents[2] / "schemas"
SCHEMAS = {"keyed": 1, "ridge": 1, "texts": 2, "hashed": 3, "shared": 4}
"""Of the memories, by the name of their folder."""
MEMORIES = [(then, name) for then in SCHEMAS for name in ("untrained", "learned")]
LEARNED = [(then, "learned") for then in SCHEMAS]
LATER = "The ferry of Lund was sold in 1911 to Karl Ost. He paid 72 crowns."


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path, llama: Base) -> tuple[Memory, Config, dict[str, Any]]:
    """A memory, in a folder where it may be changed, its protocol's configuration, and what the version that wrote it said."""
    then, name = request.param
    folder = Path(shutil.copytree(ROOT / then / name, tmp_path / name))
    expected = json.loads((ROOT / then / "expected.json").read_text(encoding="utf-8"))
    assert read_record(folder).schema_version == SCHEMAS[then]
    protocol = ROOT / then / "protocol" if name == "learned" else "untrained"
    config = tiny.make_config(f"protocol.name={protocol}", "guard.enabled=false")
    return Memory.load(folder), config, expected[name] | {"question": expected["question"]}


def test_there_is_a_memory_of_every_schema_before_this_one() -> None:
    assert set(SCHEMAS.values()) == set(range(1, SCHEMA_VERSION)), "a folder more in tests/schemas for each schema that is left behind"
    assert set(SCHEMAS) == {path.parent.name for path in ROOT.glob("*/expected.json")}


@pytest.mark.parametrize("opened", MEMORIES, indirect=True)
def test_its_adapters_say_what_they_said(opened: tuple[Memory, Config, dict[str, Any]], llama: Base) -> None:
    memory, _, expected = opened
    assert len(memory.segments) == len(expected["logits"])
    for index, logits in enumerate(expected["logits"]):
        with memory.attached(llama.model, Route(index)):
            assert tiny.logits_of(llama)[-1].topk(8).values == pytest.approx(torch.tensor(logits), abs=1e-4)


@pytest.mark.parametrize("opened", MEMORIES, indirect=True)
def test_it_answers_in_every_way_that_its_questions_can_go(opened: tuple[Memory, Config, dict[str, Any]], llama: Base) -> None:
    memory, config, expected = opened
    wake = Wake(llama, config, Session(memory, base=llama, config=config).protocol, memory)
    assert wake.answer(expected["question"], "direct").answer == expected["answer"]
    for way in ("search", "read"):
        assert wake.answer(expected["question"], way).answer
    assert memory.text is not None
    assert next(iter(memory.text.shares(expected["question"], 1))) == expected["chunks"] - 1, "the search finds the mill's chunk"


@pytest.mark.parametrize("opened", MEMORIES, indirect=True)
def test_it_is_shown_and_saved_anew_in_todays_schema(
    opened: tuple[Memory, Config, dict[str, Any]], llama: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory, _, expected = opened
    assert memory.folder is not None
    memory_report(memory.record, memory.folder)
    assert "0.md" in capsys.readouterr().out
    assert memory_to_dict(memory.record, memory.folder)["totals"]["chunks"] == expected["chunks"]
    again = Memory.load(memory.save(tmp_path / "again"))
    assert again.record.schema_version == SCHEMA_VERSION
    for mine, theirs in zip(again.segments, memory.segments, strict=True):
        tensors, others = mine.weights.tensors(), theirs.weights.tensors()
        assert tensors.keys() == others.keys()
        assert all(torch.equal(tensors[key], others[key]) for key in tensors)


@pytest.mark.parametrize(("then", "name"), MEMORIES)
def test_peft_opens_it(then: str, name: str, llama: Base) -> None:
    memory = Memory.load(ROOT / then / name)
    with memory.attached(llama.model):
        expected = tiny.logits_of(llama)
    opened = peft.PeftModel.from_pretrained(llama.model, str(ROOT / then / name))
    assert torch.equal(tiny.logits_of(Base(opened, llama.tokenizer, llama.identity)), expected)
    opened.unload()


@pytest.mark.parametrize("opened", LEARNED, indirect=True)
def test_it_is_extended_and_partly_forgotten(opened: tuple[Memory, Config, dict[str, Any]], llama: Base, tmp_path: Path) -> None:
    memory, config, expected = opened
    session = Session(memory, base=llama, config=config)
    longer = session.stream(Document.from_text(LATER, "2.md", "Lund"))
    assert len(longer.record.documents) == 3
    kept = Memory.load(longer.save(tmp_path / "longer"))
    assert kept.record.chunks[-1].passes > 0
    assert session.answer("Who bought the ferry?", "search").answer
    count = expected["chunks"]
    less = forget(kept, [count - 1], base=llama)
    assert [c.document for c in less.record.chunks] == [c.document for c in kept.record.chunks if c.index != count - 1]
    assert all("Ines Vow" not in chunk.text for chunk in less.text or ())
    less.save(tmp_path / "less")
    assert [segment.weights.rank for segment in Memory.load(tmp_path / "less").segments]


@pytest.mark.parametrize("opened", LEARNED, indirect=True)
def test_it_is_merged_with_one_of_today(opened: tuple[Memory, Config, dict[str, Any]], llama: Base) -> None:
    memory, config, expected = opened
    Session(memory, base=llama, config=config)  # from now on its protocol is known by its hash
    today = consolidate(Document.from_text(LATER, "2.md", "Lund"), base=llama, config=config)
    both = merge(memory, today, base=llama)
    assert len(both.record.chunks) == expected["chunks"] + len(today.record.chunks)
    assert len(both.segments) == len(memory.segments) + 1
    assert len(extend(both, Document.from_text(LATER, "3.md"), base=llama).record.documents) == 4


@pytest.mark.parametrize(("then", "name"), LEARNED)
def test_without_its_protocol_it_says_so_in_one_sentence(then: str, name: str, llama: Base) -> None:
    memory = Memory.load(ROOT / then / name)
    with pytest.raises(NremError, match=r"was made with the protocol tiny \(\w{6}\), got .*: name its own with --set protocol.name="):
        Wake.open(memory, llama)
