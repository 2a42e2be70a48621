"""The loss against a loop over tokens, in value and gradient, and what forced exploration must not change."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from nrem.runtime.route.degrpo import advantages, degrpo_loss, rewards
from nrem.runtime.route.exploration import control_weight, draw_controls, num_forced

ROLLOUTS, TOKENS = 7, 5


def case(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """log_prob (a leaf), old_log_prob, advantage, mask, weight; some ratios lie outside of the clipping."""
    g = torch.Generator().manual_seed(seed)
    old = -2 * torch.rand(ROLLOUTS, TOKENS, generator=g, dtype=torch.float64)
    new = (old + 0.4 * torch.randn(ROLLOUTS, TOKENS, generator=g, dtype=torch.float64)).requires_grad_()
    lengths = torch.randint(1, TOKENS + 1, (ROLLOUTS,), generator=g)
    mask = torch.arange(TOKENS) < lengths[:, None]
    advantage = torch.randn(ROLLOUTS, generator=g, dtype=torch.float64)
    return new, old, advantage, mask, 0.5 + torch.rand(ROLLOUTS, generator=g, dtype=torch.float64)


def naive(new: Tensor, old: Tensor, advantage: Tensor, mask: Tensor, weight: Tensor, alpha: float | None, clip: float) -> Tensor:
    """One token after the other."""
    control, answer = list[Tensor](), list[Tensor]()
    for i in range(ROLLOUTS):
        for t in range(TOKENS):
            if not mask[i, t]:
                continue
            ratio = torch.exp(new[i, t] - old[i, t])
            a = advantage[i] * (weight[i] if t == 0 else 1)
            lost = max(-a * ratio, -a * torch.clamp(ratio, 1 - clip, 1 + clip), key=lambda x: float(x.detach()))
            (answer if t else control).append(lost)
    zero = new.sum() * 0
    if alpha is None:
        return sum(control + answer, zero) / (len(control) + len(answer))
    return alpha * sum(control, zero) / len(control) + sum(answer, zero) / max(1, len(answer))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [None, 0.001, 1.0])
def test_value_and_gradient_are_those_of_the_loop(seed: int, alpha: float | None) -> None:
    new, old, advantage, mask, weight = case(seed)
    got = degrpo_loss(new, old, advantage, mask, alpha=alpha, clip=0.2, control_weight=weight).total
    wanted = naive(new, old, advantage, mask, weight, alpha, 0.2)
    torch.testing.assert_close(got, wanted)
    (mine,), (theirs,) = torch.autograd.grad(got, new), torch.autograd.grad(wanted, new)
    torch.testing.assert_close(mine, theirs)
    assert mine.abs().sum() > 0


@pytest.mark.parametrize("alpha", [None, 1.0])
def test_the_decision_weighs_less_in_longer_answers_under_grpo_only(alpha: float | None) -> None:
    pulls = []
    for length in (2, 50):
        new = torch.zeros(4, length, requires_grad=True)
        advantage = torch.tensor([1.0, -1.0, 2.0, -2.0])
        loss = degrpo_loss(new, torch.zeros(4, length), advantage, torch.ones(4, length, dtype=torch.bool), alpha=alpha).total
        pulls.append(torch.autograd.grad(loss, new)[0][:, 0].abs().sum().item())
    assert pulls[0] / pulls[1] == pytest.approx(25.0 if alpha is None else 1.0)


def test_padding_is_without_effect_whatever_it_holds() -> None:
    new, old, advantage, mask, _ = case(0)
    clean = degrpo_loss(new, old, advantage, mask, reference_log_prob=old.roll(1, 0))
    spoiled = torch.where(mask, new, torch.full_like(new, -math.inf)).detach().requires_grad_()
    found = degrpo_loss(spoiled, torch.where(mask, old, math.nan), advantage, mask, reference_log_prob=old.roll(1, 0))
    torch.testing.assert_close(found.total, clean.total)
    gradient = torch.autograd.grad(found.total, spoiled)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(clean.total, new)[0])
    assert gradient[~mask].abs().sum() == 0


def test_the_divergence_is_nought_at_the_reference_and_pulls_towards_it() -> None:
    new, old, advantage, mask, _ = case(1)
    at = degrpo_loss(new, old, 0 * advantage, mask, reference_log_prob=new.detach())
    assert at.divergence.item() == 0
    off = degrpo_loss(new, old, 0 * advantage, mask, reference_log_prob=new.detach() + 0.3, reference_weight=2.0)
    assert off.divergence.item() == pytest.approx(math.exp(0.3) - 0.3 - 1)
    assert off.total.item() == pytest.approx(2 * off.divergence.item())
    assert (torch.autograd.grad(off.total, new)[0][mask] < 0).all(), "descent raises what the reference holds more likely"


def test_rewards_are_one_one_less_the_price_and_minus_one() -> None:
    right = torch.tensor([[True, True, False, False]]).expand(2, 4)
    thought = torch.tensor([[False, True, False, True]]).expand(2, 4)
    found = rewards(right, thought, torch.tensor([0.5, 0.25]))
    assert found.tolist() == [[1.0, 0.5, -1.0, -1.0], [1.0, 0.75, -1.0, -1.0]]


def test_the_baseline_is_the_mean_of_the_group_and_nothing_is_divided() -> None:
    reward = torch.tensor([[1.0, 0.5, -1.0, -1.0], [10.0, 10.0, 10.0, 10.0]])
    assert advantages(reward).tolist() == [[1.125, 0.625, -0.875, -0.875], [0.0, 0.0, 0.0, 0.0]]
    torch.testing.assert_close(advantages(3 * reward), 3 * advantages(reward))


@pytest.mark.parametrize(("group", "share", "forced"), [(8, 0.125, 1), (8, 0.5, 4), (4, 0.0, 0), (5, 0.5, 2)])
def test_a_stated_share_is_forced_each_way(group: int, share: float, forced: int) -> None:
    assert num_forced(group, share) == forced
    think = draw_controls(torch.tensor([0.0, 1.0]), group, share).think
    assert think.sum(dim=1).tolist() == [forced, group - forced], "a policy that is sure decides only what is not forced"


def expected_pull(prob: float, gain: tuple[float, float], group: int, forced: int) -> float:
    """The mean gradient of a group with respect to the logit of thinking, over all that may be drawn: exact, by enumeration.

    `gain` are the rewards of thinking and of not.
    """
    total = 0.0
    for free in product((True, False), repeat=group - 2 * forced):
        think = torch.tensor([[True] * forced + [False] * forced + list(free)])
        chance = math.prod(prob if c else 1 - prob for c in free)
        weight = control_weight(think, torch.tensor([prob], dtype=torch.float64), forced / group)
        paid = torch.tensor(gain, dtype=torch.float64)
        advantage = advantages(torch.where(think, paid[0], paid[1]))
        logit = torch.tensor(math.log(prob / (1 - prob)), dtype=torch.float64, requires_grad=True)
        log_prob = torch.stack([torch.nn.functional.logsigmoid(logit if c else -logit) for c in think[0]])[:, None]
        loss = degrpo_loss(log_prob, log_prob.detach(), advantage[0], torch.ones(group, 1, dtype=torch.bool), control_weight=weight[0])
        total -= chance * torch.autograd.grad(loss.total, logit)[0].item()
    return total


@pytest.mark.parametrize("prob", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("forced", [0, 1, 2, 3])
def test_what_is_forced_does_not_turn_the_gradient(prob: float, forced: int) -> None:
    group, gain = 6, (0.5, -1.0)
    own = prob * (1 - prob) * (gain[0] - gain[1])  # the derivative of the policy's expected reward
    scale = expected_pull(prob, gain, group, forced) / own
    spread = prob * (1 - prob)
    mixed = [forced / group + (1 - 2 * forced / group) * p for p in (prob, 1 - prob)]
    assert scale == pytest.approx(1 - (group - 2 * forced) / group**2 * spread / math.prod(mixed))
    assert 1 - 1 / group - 1e-9 <= scale <= 1 + 1e-9
    if forced == 3:
        assert scale == pytest.approx(1.0)


def test_without_the_weight_it_would_be_turned() -> None:
    """The law above can fail: all forced and unweighted, the pull does not know how likely the policy thinks."""
    think = torch.tensor([[True, False]])
    assert control_weight(think, torch.tensor([0.9]), 0.5).tolist() == [[pytest.approx(1.8), pytest.approx(0.2)]]
    assert control_weight(think, torch.tensor([0.9]), 0.0).tolist() == [[1.0, 1.0]]


def test_what_was_forced_against_a_sure_policy_is_seen_but_weighs_nothing() -> None:
    controls = draw_controls(torch.tensor([0.0]), 4, 0.25)
    assert controls.think.tolist() == [[True, False, False, False]]
    assert controls.weight[0, 0] == 0
