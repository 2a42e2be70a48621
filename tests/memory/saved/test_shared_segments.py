"""Segments of one memory keep what they share once, and are whole again bit for bit."""

import json
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.memory import Memory, Route
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CARD, MEMORY, WRITTEN
from nrem.memory.saved.record import SCHEMA_VERSION
from nrem.memory.saved.record_file import read_record, write_record
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.kept import KeptWeights
from nrem.memory.weights.segment import Segment
from nrem.memory.weights.shared import load_own, own_bytes, save_own
from nrem.runtime.checks.verify import verify_memory
from nrem.runtime.models.load import Base, load
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.rewrite import forget
from tests import tiny

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
SECOND = f"segment-0001/{WRITTEN}"


@pytest.fixture(scope="module")
def base(model_folder: Path) -> Base:
    return load(str(model_folder), dtype="fp32")


@pytest.fixture(scope="module")
def protocol(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_protocol(tmp_path_factory.mktemp("protocols") / "tiny", tiny.make_ridge_protocol(base), base.identity, {})


@pytest.fixture(scope="module")
def two(base: Base, protocol: Path) -> Memory:
    """Two documents, two adapters with one reader."""
    config = tiny.make_config(f"protocol.name={protocol}", "guard.enabled=false", "fast_weights.segment_chunks=8")
    return consolidate(Document.from_text(tiny.STORY, "a"), Document.from_text(OTHER, "b"), base=base, config=config)


def equal(first: Segment, second: Segment) -> bool:
    mine, theirs = first.weights.tensors(), second.weights.tensors()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_the_second_adapter_is_saved_without_the_reader_and_loads_whole(two: Memory, tmp_path: Path) -> None:
    folder = two.save(tmp_path / "two")
    assert len(two.segments) == 2
    assert {path.name for path in (folder / "segment-0001").iterdir()} == {WRITTEN}
    kept = load_file(folder / SECOND)
    for name, factors in two.segments[1].weights.factors.items():
        assert len(kept[f"base_model.model.{name}.lora_A.weight"]) == len(factors.A) - 2, "all but the reader's two columns"
    assert all(tensor.dtype == torch.bfloat16 for tensor in kept.values())
    loaded = Memory.load(folder)
    assert all(equal(mine, theirs) for mine, theirs in zip(loaded.segments, two.segments, strict=True))
    assert loaded.num_bytes == two.num_bytes < sum(segment.weights.num_bytes for segment in two.segments)
    assert read_record(folder).schema_version == SCHEMA_VERSION
    assert "That is the first of 2 adapters, 0 to 1;" in (folder / CARD).read_text(encoding="utf-8")


def test_a_segment_is_written_out_as_a_folder_that_peft_opens(two: Memory, base: Base, tmp_path: Path) -> None:
    loaded = Memory.load(two.save(tmp_path / "two"))
    for index in range(2):
        made = loaded.save_adapter(tmp_path / f"adapter-{index}", index)
        assert {path.name for path in made.iterdir()} == {ADAPTER_CONFIG, ADAPTER_WEIGHTS}
        with loaded.attached(base.model, Route(index)):
            expected = tiny.logits_of(base)
        opened = peft.PeftModel.from_pretrained(base.model, str(made))
        assert torch.equal(tiny.logits_of(Base(opened, base.tokenizer, base.identity)), expected)
        opened.unload()
    with pytest.raises(UsageError, match=r"segment: got 2, and .* has 2, from 0"):
        loaded.save_adapter(tmp_path / "adapter-2", 2)
    with pytest.raises(UsageError, match="adapter-0: exists already"):
        loaded.save_adapter(tmp_path / "adapter-0")


def test_verify_compares_each_adapter_with_peft(two: Memory, base: Base, protocol: Path, tmp_path: Path) -> None:
    flags = {"--set": {"protocol": {"name": str(protocol)}, "model": {"name": base.identity.name}}}
    checks = list(verify_memory(two.save(tmp_path / "two"), flags))
    assert all(check.ok for check in checks), checks
    assert [check.found.partition(" and gives")[0].rpartition("/")[2] for check in checks if check.name == "PEFT"] == [
        "two",
        "segment-0001, written out whole",
    ]


def test_the_second_adapter_stays_when_the_first_is_written_anew(two: Memory, base: Base, tmp_path: Path) -> None:
    less = forget(two, [0], base=base)
    again = Memory.load(less.save(tmp_path / "less"))
    assert equal(again.segments[1], two.segments[1])
    assert not equal(again.segments[0], two.segments[0])


def test_a_folder_of_the_schema_before_still_loads(two: Memory, tmp_path: Path) -> None:
    """There each segment was an adapter of its own."""
    folder = two.save(tmp_path / "two")
    (folder / SECOND).unlink()
    two.segments[1].save(folder / "segment-0001", two.record.base.name, two.record.base.revision)
    record = read_record(folder)
    del record.files[SECOND]
    record.files |= {f"segment-0001/{name}": sha256_file(folder / "segment-0001" / name) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
    write_record(folder, record)
    assert equal(Memory.load(folder).segments[1], two.segments[1])


def _without(folder: Path) -> None:
    (folder / SECOND).unlink()


def _flipped(folder: Path) -> None:
    data = bytearray((folder / SECOND).read_bytes())
    data[-1] ^= 1
    (folder / SECOND).write_bytes(data)


@pytest.mark.parametrize(("harm", "message"), [(_without, f"{SECOND} is missing"), (_flipped, f"{SECOND} was changed or damaged")])
def test_a_second_adapter_that_is_not_as_saved_is_refused(two: Memory, tmp_path: Path, harm: Callable[[Path], None], message: str) -> None:
    folder = two.save(tmp_path / "two")
    harm(folder)
    with pytest.raises(MemoryFolderError, match=message):
        Memory.load(folder)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("[]", "does not fit the first adapter"),
        ('{"model.layers.2.mlp.down_proj": 99}', "does not fit the first adapter"),
        ('{"model.layers.2.mlp.down_proj": -1}', "does not fit the first adapter"),
        ('{"model.layers.2.mlp.down_proj": true}', "does not fit the first adapter"),
        ('{"another.module": 1}', "does not fit the first adapter"),
        ("no json", "cannot be read"),
    ],
)
def test_a_hostile_second_adapter_is_refused_in_one_sentence(two: Memory, tmp_path: Path, listed: str, message: str) -> None:
    folder = two.save(tmp_path / "two")
    save_file(load_file(folder / SECOND), folder / SECOND, metadata={"format": "pt", "shared": listed})
    with pytest.raises(MemoryFolderError, match=message):
        Segment.load(folder / "segment-0001", first=two.segments[0])


def test_what_has_nothing_in_common_is_a_plain_adapter_as_before(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (
        FastWeights({"m": Factors(torch.randn(3, 5, generator=generator), torch.randn(4, 3, generator=generator))}) for _ in range(2)
    )
    assert not save_own(second, first, tmp_path)
    Segment(second).save(tmp_path, "base", "", Segment(first))
    assert {path.name for path in tmp_path.iterdir()} == {ADAPTER_CONFIG, ADAPTER_WEIGHTS}


@pytest.mark.parametrize("ranks", [(0, 4), (4, 0), (2, 3), (0, 0)])
def test_round_trip_whatever_is_shared(tmp_path: Path, ranks: tuple[int, int]) -> None:
    """One module with columns of its own on either side, one that is equal, one zero that is not its negative."""
    generator = torch.Generator().manual_seed(0)

    def factors(rank: int) -> Factors:
        return Factors(torch.randn(rank, 5, generator=generator), torch.randn(4, rank, generator=generator))

    def joined(one: Factors, two: Factors) -> Factors:
        return Factors(torch.cat([one.A, two.A]), torch.cat([one.B, two.B], 1))

    reader, same = factors(2), factors(2)
    first, second = (FastWeights({"m": joined(reader, factors(rank)), "reader only": same, "zero": factors(1)}) for rank in ranks)
    for weights, zero in ((first, 0.0), (second, -0.0)):
        weights.factors["zero"] = Factors(torch.full((1, 5), zero), torch.ones(4, 1))
    assert save_own(second, first, tmp_path)
    whole = load_own(tmp_path, KeptWeights(first)).opened()
    assert whole.factors.keys() == second.factors.keys()
    for key, tensor in whole.tensors().items():
        assert torch.equal(tensor.view(torch.int32), second.tensors()[key].view(torch.int32)), key
    own = FastWeights({"m": Factors(second.factors["m"].A[2:], second.factors["m"].B[:, 2:]), "zero": second.factors["zero"]})
    assert own_bytes(second, first) == own.num_bytes
    whole.factors["reader only"].A.zero_()
    assert first.factors["reader only"].A.any(), "in tensors of its own"


def test_the_record_lists_what_is_there(two: Memory, tmp_path: Path) -> None:
    folder = two.save(tmp_path / "two")
    files = json.loads((folder / MEMORY).read_text(encoding="utf-8"))["files"]
    assert sorted(name for name in files if name.startswith("segment")) == [SECOND]
