"""A base model whose weights changed after they were hashed is another base model, and no memory attaches to it silently."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nrem.memory.errors import BaseMismatchError
from nrem.memory.memory import Memory
from nrem.memory.saved.fingerprint import keep_rounded, weights_sha256
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.weights.segment import Segment
from nrem.runtime.models.load import Base
from tests import tiny


def one_step(model: nn.Module) -> None:
    """What an optimiser does to every weight."""
    for parameter in model.parameters():
        parameter.data.add_(1e-2)


def one_value(model: nn.Module) -> None:
    """One value in place, as torch sees it."""
    with torch.no_grad():
        next(iter(model.parameters()))[3, 5] += 1


def memory_of(base: Base) -> Memory:
    record = MemoryRecord(base=base.identity, protocol={"id": "untrained", "sha256": "0" * 64}, config={}, seed=0)
    return Memory(record=record, segments=[Segment(tiny.make_fast_weights(base, scale=0.1))], text=None)


@pytest.mark.parametrize("change", [one_step, one_value])
def test_a_base_that_was_changed_in_place_does_not_attach(change: Callable[[nn.Module], None]) -> None:
    base = tiny.make_base("llama")
    memory = memory_of(base)
    with memory.attached(base.model):
        pass
    change(base.model)
    with pytest.raises(BaseMismatchError, match=r"was made for llama .* got a model with weights"), memory.attached(base.model):
        pass


def test_a_base_that_is_only_run_stays_the_same() -> None:
    base = tiny.make_base("llama")
    memory, before = memory_of(base), weights_sha256(base.model)
    for _ in range(2):
        with memory.attached(base.model):
            tiny.logits_of(base)
    assert weights_sha256(base.model) == before == weights_sha256(base.model, fresh=True)


def test_a_base_that_was_rounded_on_purpose_stays_the_same() -> None:
    base = tiny.make_base("llama")
    before = weights_sha256(base.model)
    base.model.to(torch.float16)
    keep_rounded(base.model)
    assert weights_sha256(base.model) == before
    one_step(base.model)
    assert weights_sha256(base.model) != before
