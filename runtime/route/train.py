"""The second phase: the model answers as it likes, is rewarded, and DeGRPO makes what did better than its group more likely.

What it learns from is whether the answer was right, whether it thought, and the price. The number of hops is not looked at.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM

from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.degrpo import advantages, degrpo_loss, rewards
from nrem.runtime.route.descent import Figures, Step
from nrem.runtime.route.exploration import num_forced
from nrem.runtime.route.network import response_log_probs, roll_out
from nrem.runtime.route.warm_up import generator_of
from nrem.runtime.route.world import World

DEGRPO = 2
"""Stream of random numbers."""


def degrpo_step(
    model: LlamaForCausalLM,
    config: RouterConfig,
    world: World,
    prices: tuple[float, ...],
    levels: tuple[int, ...],
    reference: LlamaForCausalLM | None = None,
) -> Step:
    """A step on questions whose prices are drawn from these levels, indices into `prices`."""
    price_of = torch.tensor(prices)

    def step(number: int, optimiser: torch.optim.Optimizer) -> Figures:
        generator = generator_of(config.seed, DEGRPO, number)
        questions = world.draw(config.questions, generator)
        level = torch.tensor(levels)[torch.randint(len(levels), (config.questions,), generator=generator)]
        prompts = world.prompts(questions, level)
        found = roll_out(model, world, prompts, config.group, config.forced_share, generator)
        reward = rewards(found.last == questions.answer[:, None], found.thought, price_of[level])
        advantage = advantages(reward)
        for part in torch.arange(config.questions).chunk(config.updates):
            asked = prompts[part].repeat_interleave(config.group, dim=0)
            tokens, mask = found.tokens[part].flatten(0, 1), found.mask[part].flatten(0, 1)
            base = None
            if reference is not None and config.reference_weight:
                with torch.no_grad():
                    base = by_way(reference, world, asked, tokens)
            loss = degrpo_loss(
                by_way(model, world, asked, tokens),
                found.log_prob[part].flatten(0, 1),
                advantage[part].flatten(),
                mask,
                alpha=config.alpha if config.decoupled else None,
                clip=config.clip,
                control_weight=found.weight[part].flatten(),
                reference_log_prob=base,
                reference_weight=config.reference_weight,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        free = found.thought[:, 2 * num_forced(config.group, config.forced_share) :]
        return {"mean reward": float(reward.mean()), "thinks": float(free.float().mean()) if free.numel() else 0.5}

    return step


def by_way(
    model: LlamaForCausalLM, world: World, prompts: Int[Tensor, "rollout prompt"], tokens: Int[Tensor, "rollout token"]
) -> Float[Tensor, "rollout token"]:
    """Log probabilities of the responses, the short ones read without their padding, where it is 0."""
    think = tokens[:, 0] == world.think
    out = torch.zeros(tokens.shape)
    for rows, length in ((think, tokens.shape[1]), (~think, 2)):
        if rows.any():
            chosen = rows.nonzero().squeeze(1)
            got = response_log_probs(model, world, prompts[chosen], tokens[chosen, :length])
            out = out.index_put((chosen[:, None], torch.arange(length)[None, :]), got)
    return out
