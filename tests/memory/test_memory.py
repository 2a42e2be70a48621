"""A saved memory: whole or not there, opened by PEFT and by us with equal logits, and refused in a sentence when it does not fit."""

import copy
import dataclasses
import json
import re
from pathlib import Path

import peft
import pytest
import torch

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory import memory as folder_module
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, MissingFileError, SleepError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MEMORY, STATISTICS
from nrem.memory.saved.fingerprint import weights_sha256
from nrem.memory.saved.record import SCHEMA_VERSION
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from tests import tiny
from tests.sealed import change_record

RULES = ("gradient", "keyed")


def make_memory(base: Base, folder: Path, rule: str = "gradient") -> Memory:
    """The story, slept on."""
    settings = ["guard.enabled=false"]
    if rule == "keyed":
        settings.append(f"protocol.name={save_protocol(folder / 'protocol', tiny.make_keyed_protocol(base), base.identity, {})}")
    return consolidate(Document.from_text(tiny.STORY, title="Orrin"), base=base, config=tiny.make_config(*settings))


def logits_with(memory: Memory, base: Base) -> torch.Tensor:
    with memory.attached(base.model):
        return tiny.logits_of(base)


@pytest.fixture(scope="module")
def saved(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved memory with text and statistics; tests copy it before they damage it."""
    folder = tmp_path_factory.mktemp("memories")
    return make_memory(llama, folder, "keyed").save(folder / "story")


@pytest.fixture
def mine(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved memory, to be damaged."""
    import shutil

    return Path(shutil.copytree(saved, tmp_path / "story"))


@pytest.mark.parametrize("rule", RULES)
def test_saved_and_loaded_it_gives_equal_logits(base: Base, rule: str, tmp_path: Path) -> None:
    memory = make_memory(base, tmp_path, rule)
    expected = logits_with(memory, base)
    assert not torch.equal(expected, tiny.logits_of(base))
    loaded = Memory.load(memory.save(tmp_path / "story"))
    assert torch.equal(logits_with(loaded, base), expected)
    assert loaded.record == memory.record
    assert [chunk.text for chunk in loaded.text or ()] == [chunk.text for chunk in memory.text or ()]
    loaded.check_base(base.identity)
    assert (tmp_path / "story" / STATISTICS).exists() == (rule == "keyed")


@pytest.mark.parametrize("rule", RULES)
def test_plain_peft_opens_it_with_equal_logits(base: Base, rule: str, tmp_path: Path) -> None:
    memory = make_memory(base, tmp_path, rule)
    model = peft.PeftModel.from_pretrained(copy.deepcopy(base.model), str(memory.save(tmp_path / "story")))
    assert torch.equal(tiny.logits_of(Base(model, base.tokenizer, base.identity)), logits_with(memory, base))


def test_attached_restores_the_base_after_an_exception(llama: Base, saved: Path) -> None:
    memory, before, digest = Memory.load(saved), tiny.logits_of(llama), weights_sha256(llama.model, fresh=True)

    def fail() -> None:
        with memory.attached(llama.model):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(tiny.logits_of(llama), before)
    assert weights_sha256(llama.model, fresh=True) == digest
    assert not torch.equal(logits_with(memory, llama), before), "it can be attached again"


def test_two_memories_cannot_be_attached_at_once(llama: Base, saved: Path) -> None:
    memory = Memory.load(saved)
    with memory.attached(llama.model), pytest.raises(SleepError, match="attached"), memory.attached(llama.model):
        pass
    with memory.attached(llama.model):
        pass


def test_another_base_is_refused_by_name(llama: Base, other_llama: Base, saved: Path) -> None:
    memory = Memory.load(saved)
    words = rf"story was made for llama \(weights {llama.identity.weights_sha256[:6]}\), got .*{other_llama.identity.weights_sha256[:6]}"
    with pytest.raises(BaseMismatchError, match=words), memory.attached(other_llama.model):
        pass
    with pytest.raises(BaseMismatchError, match=words + r".*: load the first model, or sleep again with this one"):
        memory.check_base(other_llama.identity)


def test_it_holds_what_it_promises(saved: Path) -> None:
    names = {str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()}
    assert {ADAPTER_CONFIG, ADAPTER_WEIGHTS, MEMORY, STATISTICS, "README.md", "text/chunks.jsonl"} <= names
    values = json.loads((saved / MEMORY).read_text(encoding="utf-8"))
    assert values["schema_version"] == SCHEMA_VERSION
    assert {document["name"] for document in values["documents"]} == {"text"}
    assert [chunk["index"] for chunk in values["chunks"]] == list(range(len(values["chunks"])))
    assert not [name for name in names if name.endswith((".pkl", ".bin", ".pt"))], "never pickle"
    card = (saved / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nbase_model: tiny/llama\n")
    assert 'peft.PeftModel.from_pretrained(base_model, "story")' in card


@pytest.mark.parametrize("name", [ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS])
@pytest.mark.parametrize("damage", ["missing", "truncated", "one bit"])
def test_a_damaged_file_is_named(mine: Path, name: str, damage: str) -> None:
    path = mine / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
        words = f"{mine}: {name} is missing; restore the file or sleep again"
    else:
        path.write_bytes(content[:-7] if damage == "truncated" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        words = f"{mine}: {name} was changed or damaged after saving (its hash differs); restore it or sleep again"
    with pytest.raises(MemoryFolderError, match=re.escape(words)):
        Memory.load(mine)


def test_a_newer_schema_is_refused(mine: Path) -> None:
    change_record(mine, lambda values: values.update(schema_version=SCHEMA_VERSION + 1, something_new=3))
    with pytest.raises(
        MemoryFolderError, match=rf"schema version {SCHEMA_VERSION + 1}, this nrem reads up to {SCHEMA_VERSION}: upgrade nrem"
    ):
        Memory.load(mine)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON (.*); restore the file or sleep again"),
        ("[]", "expected a JSON object; restore the file"),
        ("{}", "schema version None, this nrem reads up to"),
        ('{"schema_version": 1}', "not a complete memory.json"),
    ],
)
def test_a_damaged_record_is_told(mine: Path, text: str, words: str) -> None:
    (mine / MEMORY).write_text(text, encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=words):
        Memory.load(mine)


def test_what_is_no_memory_is_told_what_it_is(tmp_path: Path, mine: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone: no such memory; `nrem ls` lists them"):
        Memory.load(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MemoryFolderError, match=r"empty: not a memory, memory\.json is missing"):
        Memory.load(tmp_path / "empty")
    (tmp_path / "empty" / "resume.safetensors").touch()
    with pytest.raises(MemoryFolderError, match=r"an unfinished sleep; finish it with nrem sleep --resume"):
        Memory.load(tmp_path / "empty")
    (mine / MEMORY).unlink()
    with pytest.raises(MemoryFolderError, match=r"a plain PEFT adapter without memory\.json; open it with PEFT"):
        Memory.load(mine)


def test_it_replaces_a_memory_only_when_told_and_never_anything_else(mine: Path, tmp_path: Path) -> None:
    memory = Memory.load(mine)
    with pytest.raises(UsageError, match="a memory is already there; choose another name, or replace it with --force"):
        memory.save(mine)
    before = memory.record.files
    assert Memory.load(memory.save(mine, force=True)).record.files == before
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "diary.txt").write_text("mine", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(UsageError, match="exists and is not a memory; choose another name, nrem does not overwrite it"):
            memory.save(tmp_path / "diary", force=force)
    assert (tmp_path / "diary" / "diary.txt").read_text(encoding="utf-8") == "mine"


def test_a_kill_while_saving_leaves_the_old_one(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory.load(mine)
    files = {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()}

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_module, "replace_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        memory.save(mine, force=True)
    assert {path: path.read_bytes() for path in mine.rglob("*") if path.is_file()} == files
    assert [path.name for path in mine.parent.iterdir() if path.name.startswith(".")] == []


def test_a_forgotten_text_is_not_saved_and_not_missed(llama: Base, saved: Path, tmp_path: Path) -> None:
    target = Memory.load(saved).save(tmp_path / "story", forget_text=True)
    assert not (target / "text").exists()
    loaded = Memory.load(target)
    assert loaded.text is None
    assert torch.equal(logits_with(loaded, llama), logits_with(Memory.load(saved), llama))


def test_equal_sleeps_are_equal_adapters_on_disk(llama: Base, tmp_path: Path) -> None:
    files = [make_memory(llama, tmp_path / name, "keyed").save(tmp_path / name / "story") for name in ("a", "b")]
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS):
        assert files[0].joinpath(name).read_bytes() == files[1].joinpath(name).read_bytes()


def test_the_record_is_a_dictionary_and_back(saved: Path) -> None:
    record = Memory.load(saved).record
    values = json.loads(json.dumps(record.to_dict()))
    assert type(record).from_dict(values, "here") == record
    for field in dataclasses.fields(record):
        if field.name != "schema_version":
            with pytest.raises(MemoryFolderError, match=f"here: not a complete memory.json .*{field.name}"):
                type(record).from_dict({key: value for key, value in values.items() if key != field.name}, "here")
