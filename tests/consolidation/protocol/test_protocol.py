"""A protocol asks every question in the same words, and a trained one is a folder that comes back equal or is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nrem.consolidation.prompts import INSTRUCTION
from nrem.consolidation.protocol import folder as protocol_folder
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import (
    PROTOCOL,
    adopt_parameters,
    find_protocol,
    load_protocol,
    named_folder,
    retired_folder,
    retired_protocol,
    save_protocol,
    shipped,
    shipped_for,
)
from nrem.consolidation.protocol.parameter_files import load_parameters
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.ridge_site import Ridge
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, MissingFileError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.atomic import sha256_file
from nrem.runtime.models.load import Base, load
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny

CPU = torch.device("cpu")
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT


@pytest.fixture
def protocol() -> Protocol:
    return Protocol(tiny.make_tokenizer())


@pytest.mark.parametrize("template", ["", CHAT, NO_SYSTEM])
def test_every_prompt_starts_with_its_prefix(template: str) -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.chat_template = template or None
    protocol = Protocol(tokenizer)
    context = protocol.plain_ids("A text.\n\n")
    for ids in ([], context):
        prompt = protocol.question_ids(" Who? ", ids)
        assert prompt[: len(protocol.question_prefix(ids))] == protocol.question_prefix(ids)
        text = tokenizer.decode(prompt)
        assert text.count(INSTRUCTION) == 1
        assert "Question: Who?" in text
        assert text.endswith("Answer:")
        assert ("<assistant>" in text) == bool(template)
        assert ("A text.\n\n" in text) == bool(ids)
    assert ("<system>" in tokenizer.decode(protocol.question_prefix())) == (template == CHAT)


def test_an_answer_ends_its_turn(protocol: Protocol) -> None:
    assert protocol.tokenizer.decode(protocol.answer_ids(" Maren Tull ")) == " Maren Tull</s>"
    assert protocol.tokenizer.decode(protocol.chunk_ids("Title", "Text.")) == "<s>Title\n\nText.</s>"
    assert protocol.tokenizer.decode(protocol.chunk_ids("", "Text.")) == "<s>Text.</s>"
    assert [protocol.tokenizer.decode([token]) for token in protocol.stop_ids] == ["</s>", "\n"]


def test_the_plain_template_has_no_instruction() -> None:
    protocol = Protocol(tiny.make_tokenizer(), template="plain")
    assert protocol.tokenizer.decode(protocol.question_ids("Who?")) == "<s>Question: Who?\nAnswer:"


def test_whatever_shapes_a_prompt_is_in_the_hash(protocol: Protocol) -> None:
    tokenizer = tiny.make_tokenizer()
    others = [Protocol(tokenizer, instruction="Be short."), Protocol(tokenizer, template="plain"), Protocol(tokenizer, weights_sha256="1")]
    assert len({protocol.sha256, *(other.sha256 for other in others)}) == 4
    assert Protocol(tokenizer).sha256 == protocol.sha256


def test_a_trained_protocol_comes_back_equal(base: Base, tmp_path: Path) -> None:
    protocol = tiny.make_keyed_protocol(base)
    folder = save_protocol(tmp_path / "protocol", protocol, base.identity, {"note": "random"})
    loaded = find_protocol(str(folder), base.tokenizer, base.identity, CPU)
    assert (loaded.id, loaded.rule, loaded.template, loaded.trained_passes) == ("tiny", "keyed", "plain", 2)
    assert protocol.learned is not None
    assert loaded.learned is not None
    assert loaded.learned.names == protocol.learned.names
    mine, theirs = dict(loaded.learned.named_parameters()), dict(protocol.learned.named_parameters())
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name].bfloat16().float()) for name, value in mine.items())
    assert not any(parameter.requires_grad for parameter in loaded.learned.parameters())
    assert json.loads((folder / PROTOCOL).read_text(encoding="utf-8"))["about"] == {"note": "random"}


def files_of(folder: Path) -> dict[str, str]:
    files: dict[str, str] = json.loads((folder / PROTOCOL).read_text(encoding="utf-8"))["files"]
    return files


def test_units_come_back_and_protocols_from_before_there_were_any_have_ones(llama: Base, tmp_path: Path) -> None:
    protocol = tiny.make_ridge_protocol(llama)
    assert isinstance(protocol.learned, Ridge)
    protocol.learned.take_units(dict.fromkeys(protocol.learned.names, 2.5))
    save_protocol(tmp_path / "p", protocol, llama.identity, {})
    parameters, adopted = Ridge.create(protocol.learned.sizes), Ridge.create(protocol.learned.sizes)
    load_parameters(tmp_path / "p", files_of(tmp_path / "p"), parameters)
    adopt_parameters(tmp_path / "p", adopted)
    assert [float(site.unit) for _, site in (*parameters.items(), *adopted.items())] == [2.5] * 2 * len(parameters.names)
    (file,) = (tmp_path / "p").glob("*.safetensors")
    save_file({name: tensor for name, tensor in load_file(file).items() if not name.endswith(".unit")}, file)
    values = json.loads((tmp_path / "p" / "protocol.json").read_text(encoding="utf-8"))
    values["files"] = {file.name: sha256_file(file)}
    (tmp_path / "p" / "protocol.json").write_text(json.dumps(values), encoding="utf-8")
    earlier = Ridge.create(protocol.learned.sizes)
    load_parameters(tmp_path / "p", files_of(tmp_path / "p"), earlier)
    assert [float(site.unit) for _, site in earlier.items()] == [1.0] * len(earlier.names)


def test_auto_takes_none_that_was_trained_on_another_model(base: Base) -> None:
    assert shipped_for(base.identity) is None
    assert find_protocol("untrained", base.tokenizer, base.identity, CPU).rule == "study"


def test_what_comes_with_nrem_has_a_name_and_a_folder_of_the_same_name_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (name,) = [folder.name for folder in shipped()]
    assert named_folder(name) == shipped()[0]
    Path(name).mkdir()
    assert named_folder(name) == Path(name)
    assert named_folder("gone") == Path("gone")


def test_what_does_not_fit_is_refused(llama: Base, other_llama: Base, tmp_path: Path) -> None:
    folder = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})
    with pytest.raises(BaseMismatchError, match=r"this protocol was trained on llama \(weights .*\), got llama .*: load that model"):
        load_protocol(folder, llama.tokenizer, other_llama.identity, CPU)
    gone = "gone: no protocol there (protocol.json is missing); name a protocol's folder or one that comes with nrem"
    with pytest.raises(MissingFileError, match=re.escape(gone)):
        load_protocol(tmp_path / "gone", llama.tokenizer, llama.identity, CPU)
    values = json.loads((folder / PROTOCOL).read_text(encoding="utf-8"))
    (folder / PROTOCOL).write_text(json.dumps(values | {"schema_version": 99}), encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=r"schema version 99, this nrem reads up to 3: upgrade nrem"):
        load_protocol(folder, llama.tokenizer, llama.identity, CPU)
    (folder / PROTOCOL).write_text("{", encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=r"protocol\.json: damaged .*; restore the file"):
        load_protocol(folder, llama.tokenizer, llama.identity, CPU)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_file_is_named(llama: Base, tmp_path: Path, damage: str) -> None:
    folder = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})
    (path,) = folder.glob("*.safetensors")
    content = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(content[:-8])
    with pytest.raises(MemoryFolderError, match=re.escape(f"{path.name} is missing or damaged; install nrem again")):
        load_protocol(folder, llama.tokenizer, llama.identity, CPU)


@pytest.mark.real_model
def test_the_words_of_retired_protocols_are_those_that_memories_were_made_with() -> None:
    tokenizer = load("smollm2-135m").tokenizer
    for path in retired_folder().glob("*.json"):
        sha256 = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        retired = retired_protocol(sha256, tokenizer)
        assert retired is not None
        assert retired.sha256 == sha256
        assert retired.retired
        assert retired.confidence is not None
    assert retired_protocol("0" * 64, tokenizer) is None


def test_a_memory_of_a_retired_protocol_answers_as_before_and_is_not_read_on(
    llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schema 1, rule "ridge" under its old name: the folder that trained it is gone, its words and the memory's statistics are left."""
    folder = save_protocol(tmp_path / "old", tiny.make_keyed_protocol(llama), llama.identity, {})
    values = json.loads((folder / PROTOCOL).read_text(encoding="utf-8"))
    values |= {"schema_version": 1, "rule": "ridge"}
    del values["readers"], values["kept_energy"]
    (folder / PROTOCOL).write_text(json.dumps(values), encoding="utf-8")
    old = load_protocol(folder, llama.tokenizer, llama.identity, CPU)
    assert old.rule == "keyed"
    config = tiny.make_config(f"protocol.name={folder}", "guard.enabled=false", "fast_weights.question_chunks=2")
    consolidate(Document.from_text(tiny.STORY, title="Orrin"), base=llama, config=config).save(tmp_path / "memory")
    questions = ["Who kept the Orrin lighthouse?", "What did Wexley pay?"]
    before = [a.answer for a in Session(Memory.load(tmp_path / "memory"), base=llama).answers(questions)]

    kept: dict[str, Any] = {"id": old.id, "sha256": old.sha256, "rule": "keyed", "template": "plain", "weights_sha256": old.weights_sha256}
    kept |= {"trained_passes": 2, "question_chunks": 0, "segment_chunks": 0}
    kept["confidence"] = Confidence(
        intercept=0.0, slope=1.0, passes=2, asked="questions", pairs=1, base_rate=0.5, brier_before=0.2, brier_after=0.1
    ).to_dict()
    (tmp_path / "retired").mkdir()
    (tmp_path / "retired" / "old.json").write_text(json.dumps(kept), encoding="utf-8")
    save_protocol(folder, tiny.make_ridge_protocol(llama), llama.identity, {})
    with pytest.raises(BaseMismatchError, match="this memory was made with the protocol"):
        Session(Memory.load(tmp_path / "memory"), base=llama)
    monkeypatch.setattr(protocol_folder, "retired_folder", lambda: tmp_path / "retired")
    session = Session(Memory.load(tmp_path / "memory"), base=llama)
    assert [a.answer for a in session.answers(questions)] == before
    with pytest.raises(UsageError, match="was made with an earlier protocol"):
        session.stream(Document.from_text("More."))
