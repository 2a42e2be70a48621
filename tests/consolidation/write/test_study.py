"""The gradient rule against a loop over its items."""

import torch
import torch.nn.functional as F

from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.rule import WriteRule
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny


def test_a_batched_gradient_is_the_sum_over_items(base: Base) -> None:
    """A pass with shared prefixes, padding and stored activations, against a loop over items through the whole model."""
    config: Config = tiny.make_config("study.items_per_write=1000", "study.batch_tokens=300")
    protocol = Protocol(base.tokenizer)
    sleeper = make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), Ledger(), ignore)
    for factors in sleeper.fast.factors.values():
        factors.B.add_(0.1 * torch.randn(factors.B.shape, generator=torch.Generator().manual_seed(0)))
    chunks, tensors = tiny.make_chunks(base), list(sleeper.fast.tensors().values())
    items = [item for chunk in chunks for item in sleeper.meter.material.study(chunk, 0, "study")]
    total, count = torch.tensor(0.0), sum(len(item.answer) for item in items)
    for tensor in tensors:
        tensor.requires_grad_(True)
    with sleeper.fast.attached(base.model):
        for item in items:
            row = torch.tensor([[*item.prefix, *item.prompt, *item.answer]])
            logits = base.model(input_ids=row, use_cache=False).logits[0, -len(item.answer) - 1 : -1]
            total = total + F.cross_entropy(
                logits, torch.tensor(item.answer), label_smoothing=config.study.label_smoothing, reduction="sum"
            )
    expected = torch.autograd.grad(total / count, tensors)
    for tensor in tensors:
        tensor.requires_grad_(False)
    rule: WriteRule = sleeper.rule
    with sleeper.fast.attached(base.model):
        rule.begin(chunks, [])
        rule.write([chunk.index for chunk in chunks])
    for number, gradient in enumerate(expected):
        mean = rule.state()[f"mean.{number}"]
        torch.testing.assert_close(mean / (1 - config.study.beta1), gradient, atol=1e-5, rtol=1e-3)
