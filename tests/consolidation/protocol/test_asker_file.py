"""The asker's file: what was saved is what is loaded, whole or not there; and what cannot be used is told in one sentence."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.protocol import asker_file
from nrem.consolidation.protocol.asker_file import ASKER, load_asker, save_asker
from nrem.consolidation.protocol.folder import load_protocol, save_protocol
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, SleepError
from nrem.runtime.models.load import Base
from tests import tiny
from tests.dreaming import make_asker

CPU = torch.device("cpu")


@pytest.fixture
def asker(llama: Base) -> Asker:
    return make_asker(tiny.make_ridge_protocol(llama))


@pytest.fixture
def saved(llama: Base, asker: Asker, tmp_path: Path) -> Path:
    """A folder with an asker in it."""
    save_asker(tmp_path, asker, llama.identity, {"minutes": 3})
    return tmp_path


def test_what_was_saved_is_loaded(base: Base, tmp_path: Path) -> None:
    asker = make_asker(tiny.make_ridge_protocol(base))
    path = save_asker(tmp_path, asker, base.identity, {"minutes": 3})
    assert path == tmp_path / ASKER
    loaded = load_asker(tmp_path, base.identity, CPU)
    assert loaded is not None
    assert (loaded.rank, loaded.reader_weights) == (asker.rank, asker.reader_weights)
    assert all(torch.equal(tensor, asker.tensors()[name]) for name, tensor in loaded.tensors().items())
    assert loaded.tensors().keys() == asker.tensors().keys()
    assert not any(p.requires_grad for p in loaded.parameters())
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    with safe_open(path, "pt") as file:
        assert file.metadata()["about"] == '{"minutes":3}' or '"minutes": 3' in file.metadata()["about"]


def test_an_asker_begins_as_the_reader(llama: Base) -> None:
    protocol = tiny.make_ridge_protocol(llama)
    assert protocol.learned is not None
    asker = Asker.like(protocol.learned, 3)
    x = torch.randn(2, 5, 48)
    for (name, mine), (other, theirs) in zip(asker.everywhere(), protocol.learned.everywhere(), strict=True):
        assert name == other
        torch.testing.assert_close(mine.read(x[..., : mine.d_in]), theirs.read(x[..., : mine.d_in]), atol=1e-4, rtol=1e-4)


def test_a_protocol_has_the_asker_of_its_folder_and_its_hash_leaves_it_out(llama: Base, asker: Asker, tmp_path: Path) -> None:
    folder = save_protocol(tmp_path / "protocol", tiny.make_ridge_protocol(llama), llama.identity, {})
    without = load_protocol(folder, llama.tokenizer, llama.identity, CPU)
    assert without.asker is None
    save_asker(folder, asker, llama.identity, {})
    with_one = load_protocol(folder, llama.tokenizer, llama.identity, CPU)
    assert with_one.asker is not None
    assert with_one.sha256 == without.sha256


def test_where_there_is_none_there_is_none(llama: Base, tmp_path: Path) -> None:
    assert load_asker(tmp_path, llama.identity, CPU) is None
    assert load_asker(tmp_path / "gone", llama.identity, CPU) is None


def test_one_of_another_base_model_is_refused(llama: Base, other_llama: Base, saved: Path) -> None:
    with pytest.raises(BaseMismatchError) as caught:
        load_asker(saved, other_llama.identity, CPU)
    assert str(caught.value) == (
        f"{saved / ASKER}: this asker was trained on other weights ({llama.identity.weights_sha256[:7]}), got "
        f"{other_llama.identity.short()}: train one for these with nrem train-asker"
    )


def test_one_of_no_base_model_is_refused(llama: Base, saved: Path) -> None:
    tensors = load_file(saved / ASKER)
    save_file(tensors, saved / ASKER)
    with pytest.raises(BaseMismatchError, match=r"this asker was trained on other weights \(none\), got"):
        load_asker(saved, llama.identity, CPU)


def rewritten(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    """The file with other tensors, and the metadata that it had."""

    def damage(path: Path) -> None:
        with safe_open(path, "pt") as file:
            about = file.metadata()
        save_file(change(load_file(path)), path, metadata=about)

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def first_with(end: str, tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(tensors) if name.endswith(end))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut off": cut,
    "empty": lambda path: path.write_bytes(b""),
    "no safetensors": lambda path: path.write_bytes(b"\xff" * 100),
    "text": lambda path: path.write_text("an asker\nof two lines\n" * 9, encoding="utf-8"),
    "a folder": lambda path: path.rename(path.with_name("away")).with_name(ASKER).mkdir(),
    "no tensors": rewritten(lambda tensors: {}),
    "half a module": rewritten(lambda t: {name: v for name, v in t.items() if name != first_with(".reader_B", t)}),
    "another rank": rewritten(lambda t: t | {first_with(".reader_B", t): torch.zeros(32, 7)}),
    "one axis less": rewritten(lambda t: t | {first_with(".reader_A", t): torch.zeros(3)}),
    "a number for B": rewritten(lambda t: t | {first_with(".reader_B", t): torch.tensor(1.0)}),
    "a number for A": rewritten(lambda t: t | {first_with(".reader_A", t): torch.tensor(1.0)}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_one_sentence(llama: Base, saved: Path, damage: str) -> None:
    DAMAGES[damage](saved / ASKER)
    with pytest.raises(MemoryFolderError) as caught:
        load_asker(saved, llama.identity, CPU)
    sentence = str(caught.value)
    assert sentence.startswith(f"{saved / ASKER}: damaged (")
    assert sentence.endswith("); restore the file, or train it again with nrem train-asker")
    assert "\n" not in sentence
    assert len(sentence) < 600


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_neither_loaded_nor_saved(llama: Base, asker: Asker, saved: Path, value: float) -> None:
    before = (saved / ASKER).read_bytes()
    with torch.no_grad():
        next(asker.parameters()).view(-1)[0] = value
    with pytest.raises(SleepError, match=r"was learned holds values that are not finite \(.*reader_A\); nothing was saved: train"):
        save_asker(saved, asker, llama.identity, {})
    assert (saved / ASKER).read_bytes() == before
    assert [path.name for path in saved.iterdir()] == [ASKER]

    def spoilt(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[first_with(".reader_B", tensors)].view(-1)[0] = value
        return tensors

    rewritten(spoilt)(saved / ASKER)
    with pytest.raises(MemoryFolderError, match=r"asker\.safetensors holds values that are not finite \(.*\); restore the file, or"):
        load_asker(saved, llama.identity, CPU)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_its_mode_is_that_of_any_new_file(llama: Base, asker: Asker, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = save_asker(tmp_path, asker, llama.identity, {})
        (tmp_path / "plain").write_text("", encoding="utf-8")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o666 & ~umask


def test_it_is_replaced_whole_or_not_at_all(llama: Base, asker: Asker, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (saved / ASKER).read_bytes()
    other = make_asker(tiny.make_ridge_protocol(llama), seed=2)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(asker_file, "sync_file", full)
        with pytest.raises(OSError, match="No space left"):
            save_asker(saved, other, llama.identity, {})
    assert (saved / ASKER).read_bytes() == before
    assert [path.name for path in saved.iterdir()] == [ASKER]
    save_asker(saved, other, llama.identity, {})
    assert (saved / ASKER).read_bytes() != before
    loaded = load_asker(saved, llama.identity, CPU)
    assert loaded is not None
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in loaded.tensors().items())


def test_a_protocol_with_a_damaged_asker_is_refused(llama: Base, asker: Asker, tmp_path: Path) -> None:
    """A sleep would be another one without it."""
    folder = save_protocol(tmp_path / "protocol", replace(tiny.make_ridge_protocol(llama)), llama.identity, {})
    cut(save_asker(folder, asker, llama.identity, {}))
    with pytest.raises(MemoryFolderError, match=r"asker\.safetensors: damaged \("):
        load_protocol(folder, llama.tokenizer, llama.identity, CPU)
