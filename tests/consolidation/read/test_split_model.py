"""The two parts of a model, one after the other, are the model: with and without a shared prefix, padding and fast weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from nrem.consolidation.probe.items import Item, collate, pack, with_lower
from nrem.consolidation.read.split_model import SplitModel
from nrem.memory.weights.layers import decoder_layers
from nrem.runtime.models.load import Base
from tests import tiny

LENGTHS = (9, 5, 1, 7)
PREFIX = tuple(b"Answer in a few words.\n")


@pytest.fixture
def texts() -> tuple[Tensor, Tensor]:
    """Four texts, padded on the right, and their mask."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 256, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = torch.tensor([[int(t < length) for t in range(max(LENGTHS))] for length in LENGTHS])
    return ids, mask


@torch.no_grad()
def whole(base: Base, ids: Tensor, mask: Tensor, prefix: tuple[int, ...]) -> Tensor:
    """Logits at every real token, each text read by itself by the whole model."""
    out = []
    for row, real in zip(ids, mask.bool(), strict=True):
        text = torch.tensor([[*prefix, *row[real].tolist()]])
        out.append(base.model(input_ids=text, use_cache=False).logits[0, len(prefix) :])
    return torch.cat(out)


@contextmanager
def maybe_attached(base: Base, attached: bool) -> Iterator[None]:
    """Fast weights in the upper half, or none."""
    if not attached:
        yield
        return
    with tiny.make_fast_weights(base, scale=0.5).attached(base.model):
        yield


@pytest.mark.parametrize("attached", [False, True], ids=["bare", "attached"])
@pytest.mark.parametrize("prefix", [(), PREFIX], ids=["no prefix", "prefix"])
@pytest.mark.parametrize("cut", [0, 1, 2])
def test_lower_and_upper_are_the_model(base: Base, texts: tuple[Tensor, Tensor], cut: int, prefix: tuple[int, ...], attached: bool) -> None:
    split = SplitModel(base.model, cut)
    lower = split.lower(*texts, prefix)
    with maybe_attached(base, attached), torch.no_grad():
        logits = split.upper(*texts, lower, texts[1].bool(), prefix)
        torch.testing.assert_close(logits, whole(base, *texts, prefix), atol=2e-5, rtol=1e-4)


def test_fast_weights_do_not_reach_the_lower_part(base: Base, texts: tuple[Tensor, Tensor]) -> None:
    bare = SplitModel(base.model, 2).lower(*texts)
    assert bare is not None
    assert bare.shape == (4, 9, 32)
    with maybe_attached(base, True):
        attached = SplitModel(base.model, 2).lower(*texts)
    assert torch.equal(bare, attached)  # type: ignore[arg-type]


def test_nothing_lies_below_cut_0(llama: Base, texts: tuple[Tensor, Tensor]) -> None:
    assert SplitModel(llama.model, 0).lower(*texts) is None


def test_hidden_is_what_enters_the_head(base: Base, texts: tuple[Tensor, Tensor]) -> None:
    split = SplitModel(base.model, 2)
    with torch.no_grad():
        hidden = split.hidden(*texts, split.lower(*texts))
        logits = base.model.get_output_embeddings()(hidden)[texts[1].bool()]
    torch.testing.assert_close(logits, whole(base, *texts, ()), atol=2e-5, rtol=1e-4)


def test_gradients_are_those_of_the_whole_model(base: Base, texts: tuple[Tensor, Tensor]) -> None:
    split, fast = SplitModel(base.model, 2), tiny.make_fast_weights(base, scale=0.5)
    tensors = [tensor.requires_grad_() for tensor in fast.tensors().values()]
    mask, lower = texts[1], split.lower(*texts)
    with fast.attached(base.model):
        mine = split.upper(*texts, lower, mask.bool()).float().logsumexp(-1).sum()
        theirs = base.model(input_ids=texts[0], attention_mask=mask, use_cache=False).logits[mask.bool()].logsumexp(-1).sum()
    for a, b in zip(torch.autograd.grad(mine, tensors), torch.autograd.grad(theirs, tensors), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_the_model_is_whole_again_after_an_exception(llama: Base, texts: tuple[Tensor, Tensor]) -> None:
    split, before = SplitModel(llama.model, 2), tiny.logits_of(llama)
    with pytest.raises(RuntimeError, match="32"):
        split.upper(*texts, torch.zeros(4, 9, 31), texts[1].bool())
    assert torch.equal(tiny.logits_of(llama), before)
    assert not any("forward" in vars(layer) for layer in decoder_layers(llama.model))
    assert not llama.model.get_output_embeddings()._forward_pre_hooks


def test_items_in_batches_give_what_each_gives_alone(base: Base) -> None:
    split = SplitModel(base.model, 2)
    items = [Item(i, PREFIX if i % 2 else (), tuple(b"Who " * (i + 1)), (65 + i, 257)) for i in range(6)]
    expected = {}
    for item in items:
        row = torch.tensor([[*item.prefix, *item.prompt, *item.answer]])
        with torch.no_grad():
            expected[item.chunk] = base.model(input_ids=row, use_cache=False).logits[0, -3:-1]
    groups = pack(items, 64)
    assert sorted(item.chunk for group in groups for item in group) == list(range(6))
    for group in groups:
        assert len({item.prefix for item in group}) == 1
        assert len(group) == 1 or len(group) * max(len(item) for item in group) <= 64
        kept = with_lower(collate(group, 257, base.model.device), split)
        batch = collate(kept, 257, base.model.device)
        assert batch.lower is not None
        with torch.no_grad():
            logits = batch.logits(split)
        for number, item in enumerate(group):
            torch.testing.assert_close(logits[batch.owner == number], expected[item.chunk], atol=2e-5, rtol=1e-4)
            assert batch.targets[batch.owner == number].tolist() == list(item.answer)
