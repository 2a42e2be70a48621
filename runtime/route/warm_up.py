"""The first phase, as in Thinkless: supervised steps in both ways, so that either control token is as likely and begins its own manner of
answering. No reward, and which way a question is answered in is drawn by lot.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM

from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.descent import Figures, Step
from nrem.runtime.route.network import control_log_probs
from nrem.runtime.route.world import World

WARM_UP = 1
"""Stream of random numbers."""


def generator_of(seed: int, stream: int, step: int) -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator().manual_seed((seed * 8 + stream) * 1_000_003 + step)


def warm_up_step(model: LlamaForCausalLM, config: RouterConfig, world: World) -> Step:
    """NLL of both control tokens and of the answer behind each."""

    def answer_nll(prompts: Tensor, control: int, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Of the answers, and of the two control tokens at one half each."""
        begun = torch.full((len(prompts), 1), control)
        logits = model(torch.cat([prompts, begun, targets[:, :-1]], dim=1), use_cache=False).logits[:, prompts.shape[1] - 1 :]
        nll = F.cross_entropy(logits[:, 1:].flatten(0, 1), targets.flatten())
        return nll, -control_log_probs(logits[:, 0], world).mean()

    def step(number: int, optimiser: torch.optim.Optimizer) -> Figures:
        generator = generator_of(config.seed, WARM_UP, number)
        questions = world.draw(config.warm_up_batch, generator)
        prompts = world.prompts(questions, torch.randint(world.num_prices, (config.warm_up_batch,), generator=generator))
        cut = config.warm_up_batch // 4
        thinking, even = answer_nll(prompts[:cut], world.think, questions.trace[:cut])
        short, also_even = answer_nll(prompts[cut:], world.short, questions.trace[cut:, -1:])
        loss = thinking + short + 0.1 * (even + also_even)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"answer NLL thinking": float(thinking.detach()), "short": float(short.detach())}

    return step
