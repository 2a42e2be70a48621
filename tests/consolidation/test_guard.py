"""The guard measures what a sleep did to unrelated text, and objects in a sentence with the figure."""

from contextlib import nullcontext

import pytest
import torch

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.guard import Guard, GuardReport
from nrem.consolidation.guard_config import GuardConfig
from nrem.memory.errors import UsageError
from nrem.runtime.models.load import Base
from tests import tiny

FINE = GuardReport(kl=0.1, perplexity_ratio=1.1, recall_gain=0.5, nll_gain=0.5)


def make_guard(base: Base, config: GuardConfig | None = None, ledger: Ledger | None = None) -> Guard:
    return Guard(base.model, tiny.STORY.encode(), config or GuardConfig(unrelated_tokens=64), ledger or Ledger(), CostModel.of(base.model))


def test_the_base_does_not_differ_from_itself(base: Base) -> None:
    report = make_guard(base).check(nullcontext(), 0.25, -0.5, 1024)
    assert report.to_dict() == pytest.approx({"kl": 0, "perplexity_ratio": 1, "recall_gain": 0.25, "nll_gain": -0.5}, abs=1e-5)


@torch.no_grad()
def test_the_figures_are_the_definitions(base: Base) -> None:
    guard, fast = make_guard(base), tiny.make_fast_weights(base, scale=0.5)
    report = guard.check(fast.attached(base.model), 0.0, 0.0, 1024)
    ids = torch.tensor([list(tiny.STORY.encode()[:64])])
    p = base.model(input_ids=ids).logits[0, :-1].softmax(-1)
    with fast.attached(base.model):
        q = base.model(input_ids=ids).logits[0, :-1].softmax(-1)
    kl = sum(float((p[t] * (p[t] / q[t]).log()).sum()) for t in range(63)) / 63
    losses = [[-float(x[t, ids[0, t + 1]].log()) for t in range(63)] for x in (p, q)]
    ratio = torch.tensor(losses).mean(1).exp()
    assert report.kl == pytest.approx(kl, rel=1e-3)
    assert report.kl > 0.01
    assert report.perplexity_ratio == pytest.approx(float(ratio[1] / ratio[0]), rel=1e-3)


def test_every_reading_is_charged_and_the_base_is_read_once(llama: Base) -> None:
    ledger = Ledger()
    guard = make_guard(llama, ledger=ledger)
    for _ in range(2):
        guard.check(nullcontext(), 0.0, 0.0, 1024)
    assert ledger.total_fet == pytest.approx(3 * guard.fet(1024))


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (FINE, ""),
        (GuardReport(1.01, 1.0, 0.5, 0.5), "KL to the base on unrelated text is 1.01 nats a token, allowed 1"),
        (GuardReport(0.1, 2.5, 0.5, 0.5), "perplexity on unrelated text is 2.50 times the base's, allowed 2"),
        (GuardReport(0.1, 1.0, -0.25, 0.1), ""),
        (GuardReport(0.1, 1.0, 0.0, -1.0), ""),
        (GuardReport(0.1, 1.0, -0.25, -1.0), "probe recall changed by -0.25, required +0, and the NLL of the probes' answers by +1.00"),
        (GuardReport(float("nan"), 1.0, 0.5, 0.5), "KL to the base on unrelated text is nan nats a token, allowed 1"),
        (GuardReport(0.1, float("nan"), 0.5, 0.5), "perplexity on unrelated text is nan times the base's, allowed 2"),
    ],
)
def test_it_objects_with_the_figure(llama: Base, report: GuardReport, words: str) -> None:
    assert make_guard(llama).objection(report) == words


def test_switched_off_it_objects_to_nothing(llama: Base) -> None:
    assert make_guard(llama, GuardConfig(enabled=False)).objection(GuardReport(float("nan"), 9.0, -1.0, -1.0)) == ""


def test_bounds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="guard: max_kl and max_perplexity_ratio must be above 0"):
        GuardConfig(max_kl=0)
