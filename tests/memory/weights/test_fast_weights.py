"""Fast weights add to a model and leave no trace; PEFT reads them with equal logits."""

import copy
import json
import re
from pathlib import Path

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from nrem.memory.errors import MemoryFolderError, ModelError, UsageError
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from nrem.memory.saved.fingerprint import weights_sha256
from nrem.memory.weights.config import FastWeightsConfig
from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.models.load import Base
from tests import tiny


def with_fast_weights(base: Base, fast: FastWeights) -> torch.Tensor:
    with fast.attached(base.model):
        return tiny.logits_of(base)


def test_unwritten_fast_weights_change_no_bit(base: Base) -> None:
    assert torch.equal(with_fast_weights(base, tiny.make_fast_weights(base)), tiny.logits_of(base))


def test_written_ones_change_the_logits_and_go_without_a_trace(base: Base) -> None:
    before, digest = tiny.logits_of(base), weights_sha256(base.model, fresh=True)
    attached = with_fast_weights(base, tiny.make_fast_weights(base, scale=1.0))
    assert (attached - before).abs().max() > 1e-2
    assert torch.equal(tiny.logits_of(base), before)
    assert weights_sha256(base.model, fresh=True) == digest


def test_they_go_after_an_exception_too(base: Base) -> None:
    before = tiny.logits_of(base)

    def fail() -> None:
        with tiny.make_fast_weights(base, scale=1.0).attached(base.model):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.equal(tiny.logits_of(base), before)
    assert not any(module._forward_hooks for module in base.model.modules())


def test_hooks_go_when_only_some_could_be_attached(llama: Base) -> None:
    fast = tiny.make_fast_weights(llama, scale=1.0)
    fast.factors["model.layers.9.mlp.down_proj"] = next(iter(fast.factors.values()))
    with pytest.raises(ModelError, match=r"no module model\.layers\.9"):
        with_fast_weights(llama, fast)
    assert not any(module._forward_hooks for module in llama.model.modules())


def test_attached_equals_the_sum_written_into_the_base(base: Base) -> None:
    fast = tiny.make_fast_weights(base, scale=1.0)
    merged = copy.deepcopy(base.model)
    with torch.no_grad():
        for name, factors in fast.factors.items():
            change = factors.B @ factors.A
            merged.get_submodule(name).weight.add_(change.T if fast.transposed else change)
    expected = tiny.logits_of(Base(merged, base.tokenizer, base.identity))
    torch.testing.assert_close(with_fast_weights(base, fast), expected, atol=1e-4, rtol=1e-4)


def test_plain_peft_opens_them_with_equal_logits(base: Base, tmp_path: Path) -> None:
    fast = tiny.make_fast_weights(base, scale=1.0)
    expected = with_fast_weights(base, fast)
    fast.save(tmp_path, "tiny/base")
    model = peft.PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path))
    assert torch.equal(tiny.logits_of(Base(model, base.tokenizer, base.identity)), expected)


def test_saved_and_loaded_they_give_equal_logits(base: Base, tmp_path: Path) -> None:
    fast = tiny.make_fast_weights(base, scale=1.0)
    fast.save(tmp_path, "tiny/base")
    loaded = FastWeights.load(tmp_path)
    assert (loaded.rank, loaded.transposed) == (fast.rank, fast.transposed)
    assert torch.equal(with_fast_weights(base, loaded), with_fast_weights(base, fast))


def test_equal_weights_are_equal_files(llama: Base, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tiny.make_fast_weights(llama, scale=1.0).save(tmp_path / name, "tiny/llama")
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@settings(max_examples=20, deadline=None)
@given(rank=st.integers(1, 8), seed=st.integers(0, 2**31))
def test_restore_brings_back_every_bit(llama: Base, rank: int, seed: int) -> None:
    fast = tiny.make_fast_weights(llama, rank=rank, scale=1.0, seed=seed)
    saved = fast.clone()
    for tensor in fast.tensors().values():
        tensor.mul_(2).add_(1)
    fast.restore(saved)
    assert all(torch.equal(tensor, saved[key]) for key, tensor in fast.tensors().items())


def test_restore_names_what_does_not_fit(llama: Base) -> None:
    fast = tiny.make_fast_weights(llama)
    key = "base_model.model.model.layers.2.mlp.down_proj.lora_A.weight"
    saved = fast.clone()
    with pytest.raises(MemoryFolderError, match=re.escape(f"tensor {key} is missing")):
        fast.restore({k: v for k, v in saved.items() if k != key})
    with pytest.raises(MemoryFolderError, match=r"has shape \(3, 48\), expected \(4, 48\); the memory was made for another"):
        fast.restore(saved | {key: torch.zeros(3, 48)})
    with pytest.raises(MemoryFolderError, match="tensor extra belongs to no adapted module"):
        fast.restore(saved | {"extra": torch.zeros(1)})


def test_a_missing_tensor_is_named_when_loading(llama: Base, tmp_path: Path) -> None:
    tiny.make_fast_weights(llama).save(tmp_path, "tiny/llama")
    tensors = load_file(tmp_path / ADAPTER_WEIGHTS)
    gone = next(iter(tensors))
    del tensors[gone]
    save_file(tensors, tmp_path / ADAPTER_WEIGHTS)
    with pytest.raises(MemoryFolderError, match=re.escape(f"lacks the tensor {gone}; restore the file")):
        FastWeights.load(tmp_path)


def test_the_files_name_the_base(llama: Base, tmp_path: Path) -> None:
    tiny.make_fast_weights(llama, rank=3).save(tmp_path, "tiny/llama", revision="abc")
    values = json.loads((tmp_path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert (values["base_model_name_or_path"], values["revision"], values["r"]) == ("tiny/llama", "abc", 3)
    assert values["lora_alpha"] == values["r"], "the scale is 1"


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"fast_weights\.rank: got 0, expected a whole number from 1"):
        FastWeightsConfig(rank=0)


def test_saving_looks_at_each_tensor_once(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many modules as a reader on every one of them makes: twice a tensor for each of the others took half a minute."""
    fast, looks = tiny.make_fast_weights(base, scale=0.1), 0

    def kept_dtype(self: FastWeights) -> torch.dtype:
        nonlocal looks
        looks += 1
        return torch.float32

    monkeypatch.setattr(FastWeights, "kept_dtype", property(kept_dtype))
    fast.save(tmp_path, "base")
    assert looks == 1
