"""The trained gradient write against a loop over memories with autograd, and its slopes against finite differences."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nrem.consolidation.read.observe import Texts, next_token_loss
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.consolidation.write.descent import DescentParameters
from nrem.consolidation.write.lend import lent
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import Base
from tests import tiny

QUESTION = QuestionAnswer("How many litres?", "60")
GROUPS = [
    [Passage("Orrin", "The lamp burned 60 litres.", (QUESTION,)), Passage("", "Sixteen men walked home over the ice.", ())],
    [Passage("Wexley", "The boat was lost.", ()), Passage("Hallow", "The parish paid 340 crowns for a new boat.", ())],
]


def make_bench(base: Base, order: int = 1) -> Bench:
    protocol = tiny.make_descent_protocol(base)
    assert isinstance(protocol.learned, DescentParameters)
    return Bench(SplitModel(base.model, 2), protocol, protocol.learned, order)


def loss_of(base: Base, bench: Bench, group: list[Passage], fast: dict[str, Tensor]) -> Tensor:
    """Mean over the tokens of a memory's texts, one text at a time through the whole model."""
    total, count = torch.zeros(()), 0
    for passage in group:
        ids = torch.tensor([bench.protocol.chunk_ids(passage.title, passage.text)])
        with lent(base.model, bench.parameters, {name: B[None] for name, B in fast.items()}):
            logits = base.model(input_ids=ids, use_cache=False).logits[0, :-1]
        total = total + F.cross_entropy(logits, ids[0, 1:], reduction="sum")
        count += ids.shape[1] - 1
    return total / count


@pytest.mark.parametrize("order", [1, 2])
def test_a_pass_is_a_step_of_every_memory_by_itself(base: Base, order: int) -> None:
    bench, passes = make_bench(base, order), 3  # one more than there are step sizes
    together = bench.write(GROUPS, passes)
    assert together is not None
    for number, group in enumerate(GROUPS):
        fast = {name: torch.zeros(site.d_out, site.rank) for name, site in bench.parameters.items()}
        for k in range(passes):
            leaves = {name: B.detach().requires_grad_() for name, B in fast.items()}
            gradients = torch.autograd.grad(loss_of(base, bench, group, leaves), list(leaves.values()))
            norm = torch.cat([g.flatten() for g in gradients]).norm()
            eta = {name: float(site.log_steps[min(k, 1)].exp()) for name, site in bench.parameters.items()}
            fast = {name: leaves[name].detach() - eta[name] * g / norm for name, g in zip(leaves, gradients, strict=True)}
        for name, B in fast.items():
            torch.testing.assert_close(together[name][number], B, atol=2e-3, rtol=1e-2)


def test_no_graph_is_left_where_nothing_is_trained(llama: Base) -> None:
    with torch.no_grad():
        fast = make_bench(llama, 2).write(GROUPS, 2)
    assert fast is not None
    assert not any(B.requires_grad for B in fast.values())
    assert not any(module._forward_hooks for module in llama.model.modules())


@pytest.mark.parametrize(("order", "passes", "name"), [(1, 1, "log_steps"), (2, 1, "A"), (2, 2, "A"), (2, 2, "log_steps")])
def test_slopes_are_those_of_finite_differences(llama: Base, order: int, passes: int, name: str) -> None:
    """First order is exact in the last step's size; what a step depends on shows in second order only."""
    bench = make_bench(llama, order)
    with torch.no_grad():
        for parameter, value in bench.parameters.named_parameters():
            if parameter.endswith("log_steps"):
                value.sub_(1.5)
    bench.parameters.requires_grad_(True)
    parameter = getattr(bench.parameters.items()[0][1], name)

    def loss() -> Tensor:
        return bench.answer_nll([QUESTION], bench.write([GROUPS[0]], passes)).mean()

    (gradient,) = torch.autograd.grad(loss(), parameter)
    direction, step = gradient / gradient.norm(), 2e-3 * float(parameter.detach().norm())
    ends = []
    with torch.no_grad():
        for sign in (-1, 2):
            parameter.add_(sign * step * direction)
            ends.append(float(loss()))
        parameter.sub_(step * direction)
    assert float(gradient.norm()) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.05)


@pytest.mark.parametrize("vocabulary", [0, 70, 10**6])
def test_the_loss_is_over_the_likely_tokens_and_the_one_that_came(base: Base, vocabulary: int) -> None:
    split, rows = SplitModel(base.model, 2), [list(tiny.STORY[:40].encode()), list(tiny.STORY[40:60].encode())]
    texts = Texts.pad(rows, 257, base.model.device)
    with torch.no_grad():
        loss, valid = next_token_loss(split, texts, split.lower(texts.ids, texts.mask), vocabulary)
        for row, ids in enumerate(rows):
            logits, goal = base.model(input_ids=torch.tensor([ids])).logits[0, :-1], torch.tensor(ids[1:])
            unlikely = (torch.arange(logits.shape[-1]) >= (vocabulary or logits.shape[-1])) & (
                torch.arange(logits.shape[-1]) != goal[:, None]
            )
            own = F.cross_entropy(logits.masked_fill(unlikely, -torch.inf), goal, reduction="none")
            torch.testing.assert_close(loss[row, : len(ids) - 1], own, atol=1e-3, rtol=1e-4)
            assert valid[row].sum() == len(ids) - 1
    assert not loss[~valid].any()
