"""A memory's folder may come from anybody: only regular files inside it are read, of a bounded size, each as it was saved."""

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import MemoryFolderError
from nrem.memory.library.folder import list_memories
from nrem.memory.memory import Memory
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MEMORY, STATISTICS, TEXT, TEXT_CHUNKS, TEXT_INDEX
from nrem.memory.saved.record import SCHEMA_VERSION
from nrem.memory.saved.record_file import read_checked_record, read_record
from nrem.memory.saved.regular import MOST_BYTES
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from tests import tiny
from tests.sealed import change_record, rehash

CHUNKS, INDEX = f"{TEXT}/{TEXT_CHUNKS}", f"{TEXT}/{TEXT_INDEX}"
FILES = (MEMORY, ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS, CHUNKS)


@pytest.fixture(scope="module")
def saved(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with statistics and text."""
    folder = tmp_path_factory.mktemp("foreign")
    protocol = save_protocol(folder / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})
    config = tiny.make_config("guard.enabled=false", f"protocol.name={protocol}")
    return consolidate(Document.from_text(tiny.STORY, title="Orrin"), base=llama, config=config).save(folder / "story")


@pytest.fixture
def mine(saved: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "story"))


def refused(folder: Path, words: str) -> None:
    """In one sentence that says so."""
    with pytest.raises(MemoryFolderError, match=words) as error:
        Memory.load(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "giant"])
def test_only_regular_files_of_a_bounded_size_are_read(mine: Path, name: str, kind: str) -> None:
    path = mine / name
    if kind == "giant":
        with path.open("r+b") as file:
            file.truncate(MOST_BYTES[path.name] + 1)
        refused(mine, f"{re.escape(name)} has [0-9,]+ bytes, expected at most [0-9,]+; restore it or sleep again")
        return
    path.rename(mine.parent / "elsewhere")
    if kind == "link":
        path.symlink_to(mine.parent / "elsewhere")
        refused(mine, f"{re.escape(name)} is a symbolic link, expected a regular file; copy the memory with cp -rL")
    elif kind == "pipe":
        os.mkfifo(path)
        refused(mine, f"{re.escape(name)} is a pipe, expected a regular file")
    else:
        path.mkdir()
        refused(mine, f"{re.escape(name)} is a folder, expected a regular file")


def test_a_folder_on_the_way_may_be_no_link(mine: Path) -> None:
    (mine / TEXT).rename(mine.parent / "elsewhere")
    (mine / TEXT).symlink_to(mine.parent / "elsewhere")
    refused(mine, "text is a symbolic link, expected a folder; copy the memory with cp -rL")


@pytest.mark.parametrize("name", ["/etc/passwd", "../story/memory.json", "text/../../x", "notes.txt", "segment-0001/../x", "text"])
def test_a_memory_consists_of_files_of_its_own(mine: Path, name: str) -> None:
    change_record(mine, lambda values: values["files"].update({name: "0" * 64}))
    refused(mine, f"files names '{re.escape(name)}', which is no file of a memory")


def test_an_adapter_without_a_hash_is_refused(mine: Path) -> None:
    change_record(mine, lambda values: values["files"].pop(ADAPTER_WEIGHTS))
    refused(mine, f"files lacks the hash of {re.escape(ADAPTER_WEIGHTS)}")


def test_any_bit_of_the_record_is_refused_or_changes_nothing(mine: Path) -> None:
    path, record = mine / MEMORY, read_record(mine)
    content = path.read_bytes()
    harmless = 0
    for bit in range(0, 8 * len(content), 8 * len(content) // 400):
        path.write_bytes(content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :])
        with suppress(MemoryFolderError):
            assert read_record(mine) == record
            harmless += 1
    assert harmless < 150, "only spaces may change"


def test_a_record_of_an_earlier_schema_has_no_hash_and_loads(mine: Path) -> None:
    values = json.loads((mine / MEMORY).read_text(encoding="utf-8"))
    for key in ("sha256", "forgot_text"):
        del values[key]
    values["schema_version"] = 2
    values["files"].pop(INDEX)
    values["chunks"][0]["nll_after"] = float("nan")
    (mine / MEMORY).write_text(json.dumps(values), encoding="utf-8")
    loaded = Memory.load(mine)
    assert loaded.record.schema_version == 2
    assert loaded.record.chunks[0].nll_after != loaded.record.chunks[0].nll_after, "NaN, as it was written then"
    again = loaded.save(mine.parent / "again")
    text = (again / MEMORY).read_text(encoding="utf-8")
    assert '"nll_after": null' in text
    assert "NaN" not in text
    assert read_record(again).schema_version == SCHEMA_VERSION


def test_a_hash_cannot_be_left_out(mine: Path) -> None:
    values = json.loads((mine / MEMORY).read_text(encoding="utf-8"))
    values["seed"] += 1
    for version in (2, SCHEMA_VERSION):
        (mine / MEMORY).write_text(json.dumps(values | {"schema_version": version}), encoding="utf-8")
        refused(mine, "was changed or damaged after saving \\(its own hash differs\\)")


def test_a_missing_text_is_damage_unless_it_was_forgotten_on_purpose(mine: Path) -> None:
    forgotten = Memory.load(mine).save(mine.parent / "forgotten", forget_text=True)
    record = read_checked_record(forgotten)
    assert record.forgot_text
    assert not Memory.load(forgotten).save(mine.parent / "again").joinpath(TEXT).exists()
    assert read_record(mine.parent / "again").forgot_text
    assert not read_record(mine).forgot_text
    shutil.rmtree(mine / TEXT)
    refused(mine, "text/chunks.jsonl is missing; restore the file or sleep again")


@pytest.mark.parametrize("fate", ["missing", "one bit", "a link"])
def test_a_spoilt_index_changes_no_search(mine: Path, fate: str) -> None:
    sound = Memory.load(mine)
    assert sound.text is not None
    assert sound.text.has_index
    expected = sound.text.search("Who kept the lamp?")
    path = mine / INDEX
    content = path.read_bytes()
    path.unlink()
    if fate == "one bit":
        path.write_bytes(content[:-20] + bytes([content[-20] ^ 4]) + content[-19:])
    elif fate == "a link":
        path.symlink_to("/dev/zero")
    loaded = Memory.load(mine)
    assert loaded.text is not None
    assert not loaded.text.has_index
    assert loaded.text.search("Who kept the lamp?") == expected


@pytest.mark.parametrize("name", [ADAPTER_WEIGHTS, STATISTICS])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_values_that_are_not_finite_are_refused(mine: Path, name: str, value: str) -> None:
    tensors = load_file(mine / name)
    key = next(key for key, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel() > 1)
    tensors[key].view(-1)[1] = float(value)
    save_file(tensors, mine / name)
    rehash(mine, name)
    refused(mine, f"{re.escape(name)} holds values that are not finite \\({re.escape(key)}\\); sleep again")


def test_an_adapter_that_is_not_finite_is_not_saved(mine: Path) -> None:
    memory = Memory.load(mine)
    next(iter(memory.weights.factors.values())).B[0, 0] = float("nan")
    with pytest.raises(Exception, match="the adapter holds values that are not finite"):
        memory.save(mine.parent / "new")
    assert not (mine.parent / "new").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(exclude_modules="(a+)+$"), "exclude_modules is set, which nrem never does"),
        (lambda v: v.update(target_modules="(.*)+"), "target_modules is not a list of names of modules"),
        (lambda v: v.update(target_modules=["(a|a)*b"]), "target_modules is not a list of names of modules"),
        (lambda v: v.update(rank_pattern={"(a+)+$": 3}), "rank_pattern is not made of ranks of the adapted modules"),
        (lambda v: v.update(r=10**9), "r and lora_alpha are 1000000000"),
        (lambda v: v.update(auto_mapping={"parent_library": "os"}), "auto_mapping is \"{'parent_library'.*expected None"),
        (lambda v: v.update(init_lora_weights="pissa"), "init_lora_weights is 'pissa', expected True"),
        (lambda v: v.update(peft_type="BONE"), "peft_type is 'BONE', expected 'LORA'"),
        (lambda v: v.update(layers_to_transform=[1]), "layers_to_transform is '\\[1\\]', expected None"),
    ],
)
def test_of_the_adapter_s_configuration_only_names_and_ranks_are_believed(
    mine: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    values = json.loads((mine / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    change(values)
    (mine / ADAPTER_CONFIG).write_text(json.dumps(values), encoding="utf-8")
    rehash(mine, ADAPTER_CONFIG)
    refused(mine, words)


def test_statistics_of_other_shapes_are_refused(mine: Path) -> None:
    tensors = load_file(mine / STATISTICS)
    key = next(key for key in tensors if key.endswith("/C"))
    save_file(tensors | {key: torch.ones(2, 2)}, mine / STATISTICS)
    rehash(mine, STATISTICS)
    refused(mine, "has other shapes than the adapter")


def test_a_hostile_tensor_header_is_refused(mine: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    (mine / ADAPTER_WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 64)
    rehash(mine, ADAPTER_WEIGHTS)
    refused(mine, f"{re.escape(ADAPTER_WEIGHTS)} cannot be read")


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda v: v["chunks"][0].update(passes="x"), r"chunks\[0\]\.passes is 'x', expected a valid integer"),
    (lambda v: v["chunks"][0].update(passes=-1), r"chunks\[0\]\.passes is '-1', expected greater than or equal to 0"),
    (lambda v: v["chunks"][0].update(passes=True), r"chunks\[0\]\.passes is 'True', expected a valid integer"),
    (lambda v: v["chunks"][0].update(index=7), r"chunks\[0\]\.index is 7, expected 0"),
    (lambda v: v["chunks"][0].update(segment=10**9), r"chunks\[0\]\.segment is 1000000000, and there are \d+ chunks"),
    (lambda v: v["chunks"][0].update(recall=[1.0]), r"chunks\[0\] has \d looks, 1 of recall"),
    (lambda v: v["chunks"][0].update(extra=1), "extra is no key of this nrem"),
    (lambda v: v["chunks"][0].pop("document"), r"not a complete memory\.json \(chunks\[0\]\.document is missing\)"),
    (lambda v: v["sleeps"][0].update(chunks=[10**6]), r"sleeps\[0\] names chunk 1000000"),
    (lambda v: v["sleeps"][0].update(kept="yes"), r"sleeps\[0\]\.kept is 'yes', expected a valid boolean"),
    (lambda v: v["documents"][0].update(num_chunks=10**9), "the documents have 1000000000 chunks"),
    (lambda v: v["documents"][0].update(sha256="0"), r"documents\[0\]\.sha256 is '0', expected"),
    (lambda v: v.update(documents=None), "documents is 'None', expected a valid list"),
    (lambda v: v.update(fet={"reading": "much"}), "fet.reading is 'much', expected a valid number"),
    (lambda v: v.update(fet={"reading": -1.0}), "fet.reading is '-1.0', expected greater than or equal to 0"),
    (lambda v: v.update(protocol={"id": "x"}), "protocol lacks sha256"),
    (lambda v: v.update(base=None), "base is 'None', expected"),
    (lambda v: v["base"].update(weights_sha256="../../x"), "base.weights_sha256 is '../../x', expected"),
    (lambda v: v.update(schema_version="3"), f"schema version 3, this nrem reads up to {SCHEMA_VERSION}"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_record_is_validated_once_at_the_edge(mine: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    change_record(mine, change)
    refused(mine, f"memory.json: .*{words}")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema_version": 1e999}', '{"schema_version": NaN}', "\xff", "9" * 5000, ""])
def test_a_record_that_is_no_record(mine: Path, text: str) -> None:
    (mine / MEMORY).write_text(text, encoding="latin-1")
    refused(mine, "memory.json: ")


def test_one_wrong_memory_never_breaks_the_list(mine: Path) -> None:
    for number, (change, _) in enumerate(WRONG):
        change_record(Path(shutil.copytree(mine, mine.parent / f"wrong{number}")), change)
    os.mkfifo(Path(shutil.copytree(mine, mine.parent / "pipe", ignore=shutil.ignore_patterns(MEMORY))) / MEMORY)
    found = {entry.folder.name: entry for entry in list_memories(mine.parent)}
    assert found["story"].record is not None
    assert len(found) == len(WRONG) + 2
    assert all(entry.problem for name, entry in found.items() if name != "story")
