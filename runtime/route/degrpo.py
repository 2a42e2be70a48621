"""DeGRPO, the loss of Thinkless (arXiv 2505.13379): a model learns by trial when to think, from rewards alone.

Axes: question; rollout, the answers that are sampled for one question (flat: of all questions); token, of a response, where token 0 is
the control token <think> or <short> and the others are the answer. Knows nothing about models, worlds, or how hard a question is.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Loss(NamedTuple):
    """What is descended, and what it is made of."""

    total: Float[Tensor, ""]
    control: Float[Tensor, ""]
    answer: Float[Tensor, ""]
    divergence: Float[Tensor, ""]


def rewards(
    right: Bool[Tensor, "question rollout"], thought: Bool[Tensor, "question rollout"], price: Float[Tensor, " question"]
) -> Float[Tensor, "question rollout"]:
    """1 for right without thinking, 1 - price for right after thinking, -1 for wrong either way.

    With q the chance to be right, thinking pays where q_short < (1 - price / 2) q_think; the published price is 0.5.
    """
    paid = 1 - price[:, None] * thought
    return torch.where(right, paid, -torch.ones_like(paid))


def advantages(reward: Float[Tensor, "question rollout"]) -> Float[Tensor, "question rollout"]:
    """Rewards less the mean of their question's group, not divided by the standard deviation: that would weigh questions by how sure
    their answer is."""
    return reward - reward.mean(dim=1, keepdim=True)


def degrpo_loss(
    log_prob: Float[Tensor, "rollout token"],
    old_log_prob: Float[Tensor, "rollout token"],
    advantage: Float[Tensor, " rollout"],
    mask: Bool[Tensor, "rollout token"],
    *,
    alpha: float | None = 1.0,
    clip: float = 0.2,
    control_weight: Float[Tensor, " rollout"] | None = None,
    reference_log_prob: Float[Tensor, "rollout token"] | None = None,
    reference_weight: float = 0.001,
) -> Loss:
    """The clipped policy loss, control tokens and answer tokens normalised apart:

        alpha (mean of l over control tokens) + (sum of l over answer tokens) / (number of answer tokens)
        l = max(-A r, -A clip(r, 1 - c, 1 + c)),  r = exp(log_prob - old_log_prob)

    so that the decision does not weigh one part in the length of the answer, as it does in GRPO, which is `alpha=None`. The published
    alpha of 0.001 is for answers of a thousand tokens; for a few tokens it freezes the decision, and about 1 is right.

    `mask` marks the tokens of each response, the control token always. `control_weight` is what forced exploration asks for
    (`nrem.runtime.route.exploration`); it multiplies the advantage of the control token outside of the clipping, so that the clipping
    bounds how far the policy moves, not how far it was from what was forced. With a reference the loss gains `reference_weight` times the
    mean over all tokens of exp(d) - d - 1, d = reference_log_prob - log_prob, the estimate of the divergence from it of low variance.
    """
    ratio = _where(mask, log_prob - old_log_prob).exp()
    pull = advantage[:, None].expand_as(log_prob)
    if control_weight is not None:
        pull = torch.cat([pull[:, :1] * control_weight[:, None], pull[:, 1:]], dim=1)
    each = torch.maximum(-pull * ratio, -pull * ratio.clamp(1 - clip, 1 + clip))  # (rollout, token)
    is_answer = mask.clone()
    is_answer[:, 0] = False
    control = each[:, 0].mean()
    answer = _mean(each, is_answer)
    total = _mean(each, mask) if alpha is None else alpha * control + answer
    divergence = torch.zeros_like(total)
    if reference_log_prob is not None:
        gap = _where(mask, reference_log_prob - log_prob)
        divergence = _mean((gap.exp() - gap - 1).clamp(max=10), mask)
        total = total + reference_weight * divergence
    return Loss(total, control, answer, divergence)


def _where(chosen: Bool[Tensor, "rollout token"], values: Float[Tensor, "rollout token"]) -> Float[Tensor, "rollout token"]:
    """0 at what is not chosen, which then has no gradient either, whatever it holds."""
    return torch.where(chosen, values, torch.zeros_like(values))


def _mean(values: Float[Tensor, "rollout token"], chosen: Bool[Tensor, "rollout token"]) -> Float[Tensor, ""]:
    """Over the chosen ones; 0 where none is."""
    return _where(chosen, values).sum() / chosen.sum().clamp(min=1)
