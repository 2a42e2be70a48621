"""Adapters that stay in their files: what is opened is what was saved, and little of it is open at once."""

import gc
import shutil
from pathlib import Path
from weakref import ref

import pytest
import torch
from safetensors.torch import load_file, save_file

from nrem.memory.errors import MemoryFolderError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, SEALED, WRITTEN
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.kept import RECENT
from nrem.memory.weights.segment import Segment
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import extend
from nrem.runtime.session.session import Session
from tests import tiny

COUNT = RECENT + 3


def adapters(count: int = COUNT) -> list[FastWeights]:
    """With one reader of two columns, and three of their own that bf16 holds."""
    generator = torch.Generator().manual_seed(0)

    def factors() -> Factors:
        return Factors(*(torch.randn(shape, generator=generator).bfloat16().float() for shape in ((5, 6), (4, 5))))

    reader = factors()
    made = [factors() for _ in range(count)]
    for f in made:
        f.A[:2], f.B[:, :2] = reader.A[:2], reader.B[:, :2]
    return [FastWeights({"m": f}) for f in made]


@pytest.fixture
def saved(tmp_path: Path) -> list[Path]:
    """The first whole, the others beside it."""
    folders, made = [tmp_path / str(i) for i in range(COUNT)], [Segment(weights) for weights in adapters()]
    for folder, segment in zip(folders, made, strict=True):
        folder.mkdir()
        segment.save(folder, "base", "", made[0] if segment is not made[0] else None)
    return folders


def load(folders: list[Path]) -> list[Segment]:
    first = Segment.load(folders[0])
    return [first, *(Segment.load(folder, first=first) for folder in folders[1:])]


def same(mine: FastWeights, theirs: FastWeights) -> bool:
    return all(torch.equal(mine.factors["m"].A, f.A) and torch.equal(mine.factors["m"].B, f.B) for f in theirs.factors.values())


def test_what_is_opened_is_what_was_saved(saved: list[Path]) -> None:
    for segment, weights in zip(load(saved), adapters(), strict=True):
        assert segment.kept
        assert same(segment.weights, weights)
        assert segment.weights.factors["m"].A.dtype == torch.float32
        assert segment.weights is segment.weights


def test_few_are_open_at_once(saved: list[Path]) -> None:
    segments = load(saved)
    opened = [ref(segment.weights) for segment in segments]
    gc.collect()
    assert [weights() is not None for weights in opened] == [False] * (COUNT - RECENT) + [True] * RECENT
    assert same(segments[0].weights, adapters()[0])


def test_few_are_open_at_once_where_each_is_whole(tmp_path: Path) -> None:
    """As the sealed ones of a session are."""
    segments = []
    for number, weights in enumerate(adapters()):
        folder = tmp_path / str(number)
        folder.mkdir()
        Segment(weights).save(folder, "base", "")
        segments.append(Segment.load(folder))
    opened = [ref(segment.weights) for segment in segments]
    gc.collect()
    assert sum(weights() is not None for weights in opened) == RECENT


def test_one_that_somebody_works_with_is_not_opened_twice(saved: list[Path]) -> None:
    segments = load(saved)
    mine = segments[0].weights
    for segment in segments:
        assert segment.weights is not None
    assert segments[0].weights is mine


def test_a_folder_that_is_replaced_or_deleted_meanwhile_changes_nothing(saved: list[Path]) -> None:
    segments = load(saved)
    shutil.rmtree(saved[1])
    other = Segment(adapters(COUNT + 1)[-1])
    shutil.rmtree(saved[0])
    saved[0].mkdir()
    other.save(saved[0], "base", "")
    for segment, weights in zip(segments, adapters(), strict=True):
        assert same(segment.weights, weights)


def test_a_type_that_cannot_be_reckoned_with_is_refused(saved: list[Path]) -> None:
    values = {key: tensor.float().to(torch.float8_e4m3fn) for key, tensor in load_file(saved[0] / ADAPTER_WEIGHTS).items()}
    save_file(values, saved[0] / ADAPTER_WEIGHTS)
    with pytest.raises(MemoryFolderError, match=f"{ADAPTER_WEIGHTS} has factors of m of torch.float8"):
        Segment.load(saved[0])


def test_what_is_written_into_is_held_and_leaves_the_file_as_it_is(saved: list[Path]) -> None:
    segment = load(saved)[1]
    mine = segment.to_write()
    assert not mine.kept
    assert mine.to_write() is mine
    mine.weights.factors["m"].B.zero_()
    assert same(segment.weights, adapters()[1])


def test_the_size_is_that_of_the_values_in_the_files(saved: list[Path]) -> None:
    first, second, *_ = load(saved)
    assert first.num_bytes() == 2 * 5 * (6 + 4)
    assert second.num_bytes(first) == 2 * 3 * (6 + 4)
    assert Segment(adapters()[1]).num_bytes(Segment(adapters()[0])) == 2 * 3 * (6 + 4)


def stories(count: int) -> list[Document]:
    return [Document.from_text(tiny.STORY.replace("Maren", name), name) for name in ("Maren", "Ines", "Oda", "Bo")[:count]]


def test_what_is_sealed_while_a_session_goes_on_lies_on_the_disk(llama: Base) -> None:
    config = tiny.make_config("guard.enabled=false", "fast_weights.segment_chunks=64")
    session = Session(base=llama, config=config)
    memory = session.read(*stories(3))
    assert [segment.kept for segment in memory.segments] == [True, True, False]
    assert memory.text is not None
    there = sorted(path.name for path in (memory.text.folder.parent / SEALED).glob("*/*"))
    assert {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= set(there)
    with memory.attached(llama.model):
        mine = tiny.logits_of(llama)
    alone = Session(base=llama, config=config).read(*stories(1))
    with alone.attached(llama.model):
        assert torch.equal(tiny.logits_of(llama), mine)


def test_reading_on_leaves_the_adapters_of_the_saved_memory_in_their_files(llama: Base, tmp_path: Path) -> None:
    config = tiny.make_config("guard.enabled=false", "fast_weights.segment_chunks=64")
    folder = Session(base=llama, config=config).read(*stories(3)).save(tmp_path / "three")
    before = {path: path.read_bytes() for path in folder.rglob("*.safetensors")}
    memory = Memory.load(folder)
    assert all(segment.kept for segment in memory.segments)
    longer = extend(memory, stories(4)[-1], base=llama)
    assert [segment.kept for segment in longer.segments] == [True, True, True, False]
    assert all(path.read_bytes() == data for path, data in before.items())
    again = Memory.load(longer.save(tmp_path / "four"))
    for segment, kept in zip(longer.segments, again.segments, strict=True):
        assert all(torch.equal(t, kept.weights.tensors()[key]) for key, t in segment.weights.tensors().items())
    assert not (folder / "segment-0001" / WRITTEN).exists(), "nothing is shared without a reader"
    assert sorted(path.name for path in (tmp_path / "four").rglob("*.safetensors")).count(ADAPTER_WEIGHTS) == 4
