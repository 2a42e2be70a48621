"""Forced exploration: a share of the rollouts of every question is told to think, as large a share not to, the others decide.

Without it a decision that has become sure is never tried the other way again, and a model that drifts to one way stays there. What is
forced is not what the policy would do; `control_weight` makes up for that, so that the gradient stays that of the policy's own reward.
Knows nothing about models.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Controls(NamedTuple):
    """The control tokens of a batch of groups."""

    think: Bool[Tensor, "question rollout"]
    weight: Float[Tensor, "question rollout"]
    """What the advantage of the control token is multiplied by in the loss."""


def num_forced(group: int, forced_share: float) -> int:
    """How many rollouts of a group are forced to each control token.

    >>> num_forced(8, 0.125), num_forced(8, 0.5), num_forced(8, 0.0)
    (1, 4, 0)
    """
    return min(round(group * forced_share), group // 2)


def draw_controls(
    think_prob: Float[Tensor, " question"], group: int, forced_share: float, generator: torch.Generator | None = None
) -> Controls:
    """The first rollouts of each group are forced to think, the next ones not to, the rest follow the policy.

    A rollout of the group thinks with probability mu = n/group + (1 - 2n/group) pi on average, where n are forced each way and pi is the
    policy's probability; weighted by pi / mu (the balance heuristic of multiple importance sampling) the group's mean gradient is the
    policy's. Subtracting the group's mean reward, itself made of these rollouts, scales that gradient by a factor between 1 - 1/group
    and 1 for each question and turns nothing; where all are forced, as in AdaptThink (arXiv 2505.13417), not even that. Answer tokens need
    no weight: they are sampled from the policy, given the control token.
    """
    forced = num_forced(group, forced_share)
    drawn = torch.rand(len(think_prob), group, generator=generator) < think_prob[:, None]
    drawn[:, :forced] = True
    drawn[:, forced : 2 * forced] = False
    return Controls(drawn, control_weight(drawn, think_prob, forced / group))


def control_weight(
    think: Bool[Tensor, "question rollout"], think_prob: Float[Tensor, " question"], share: float
) -> Float[Tensor, "question rollout"]:
    """pi(c) / (share + (1 - 2 share) pi(c)) for the control token c of each rollout; 1 where nothing is forced."""
    prob = torch.where(think, think_prob[:, None], 1 - think_prob[:, None])
    mixed = share + (1 - 2 * share) * prob
    return torch.where(mixed > 0, prob / mixed.clamp(min=1e-30), torch.ones_like(prob))
