"""A small Llama that answers questions of the world in either way, and samples rollouts. Knows nothing about rewards.

A response is a control token and an answer, of one token after <short> and of one a slot after <think>; what is longer is not sampled.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from nrem.consolidation.read.split_model import cache_argument
from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.exploration import draw_controls
from nrem.runtime.route.world import World


@dataclass(frozen=True)
class Rollouts:
    """Sampled responses to questions, padded at the end."""

    tokens: Int[Tensor, "question rollout token"]
    mask: Bool[Tensor, "question rollout token"]
    log_prob: Float[Tensor, "question rollout token"]
    """Of every token when it was sampled."""
    weight: Float[Tensor, "question rollout"]
    """Of the control token, for what was forced."""
    thought: Bool[Tensor, "question rollout"]
    last: Int[Tensor, "question rollout"]
    """The last token of each answer, which is right or wrong."""


def make_model(config: RouterConfig, world: World) -> LlamaForCausalLM:
    """A model that has learned nothing, by `config.seed`."""
    shape = LlamaConfig(
        vocab_size=world.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=4 * config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        max_position_embeddings=2 * world.num_slots + 4,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        return LlamaForCausalLM(shape)


def control_log_probs(logits: Float[Tensor, "*batch vocabulary"], world: World) -> Float[Tensor, "*batch 2"]:
    """<think> and <short>, between themselves: nothing else may begin a response."""
    return logits[..., [world.think, world.short]].log_softmax(dim=-1)


def response_log_probs(
    model: LlamaForCausalLM, world: World, prompts: Int[Tensor, "rollout prompt"], tokens: Int[Tensor, "rollout token"]
) -> Float[Tensor, "rollout token"]:
    """Log probability of every token of the responses; what pads them counts for nothing and is to be masked."""
    logits = model(torch.cat([prompts, tokens[:, :-1]], dim=1), use_cache=False).logits[:, prompts.shape[1] - 1 :]
    control = control_log_probs(logits[:, 0], world).gather(1, (tokens[:, :1] == world.short).long())
    answer = logits[:, 1:].log_softmax(dim=-1).gather(2, tokens[:, 1:, None]).squeeze(2)
    return torch.cat([control, answer], dim=1)


@torch.no_grad()
def roll_out(
    model: LlamaForCausalLM,
    world: World,
    prompts: Int[Tensor, "question prompt"],
    group: int,
    forced_share: float,
    generator: torch.Generator,
) -> Rollouts:
    """Sample a group of responses to every question, at temperature 1; the prompt is read once for all of a group."""
    cache = DynamicCache()
    first = _read(model, prompts, cache)
    log_probs = control_log_probs(first, world)
    controls = draw_controls(log_probs[:, 0].exp(), group, forced_share, generator)
    cache.batch_repeat_interleave(group)
    think = controls.think.flatten()
    length = world.num_slots + 1
    tokens = torch.full((len(think), length), world.short)
    tokens[think, 0] = world.think
    log_prob = torch.zeros(len(think), length)
    log_prob[:, 0] = log_probs.repeat_interleave(group, dim=0).gather(1, (~think).long()[:, None]).squeeze(1)
    rows = torch.arange(len(think))
    for place in range(1, length):
        if place == 2:  # a short answer has ended
            cache.batch_select_indices(kept := think.nonzero().squeeze(1))
            rows = rows[kept]
        if not len(rows):
            break
        found = _read(model, tokens[rows, place - 1 : place], cache).log_softmax(dim=-1)
        chosen = torch.multinomial(found.exp(), 1, generator=generator)
        tokens[rows, place], log_prob[rows, place] = chosen.squeeze(1), found.gather(1, chosen).squeeze(1)
    ends = torch.where(think, length - 1, 1)
    mask = torch.arange(length) <= ends[:, None]
    shape = (len(prompts), group)
    return Rollouts(
        tokens=tokens.view(*shape, length),
        mask=mask.view(*shape, length),
        log_prob=log_prob.view(*shape, length),
        weight=controls.weight,
        thought=controls.think,
        last=tokens.gather(1, ends[:, None]).view(shape),
    )


@torch.no_grad()
def answers(model: LlamaForCausalLM, world: World, prompts: Int[Tensor, "question prompt"], *, think: bool) -> Int[Tensor, " question"]:
    """The most likely answer in one way."""
    cache = DynamicCache()
    _read(model, prompts, cache)
    token = torch.full((len(prompts), 1), world.think if think else world.short)
    for _ in range(world.num_slots if think else 1):
        token = _read(model, token, cache).argmax(dim=-1, keepdim=True)
    return token.squeeze(1)


@torch.no_grad()
def think_probs(model: LlamaForCausalLM, world: World, prompts: Int[Tensor, "question prompt"]) -> Float[Tensor, " question"]:
    """How likely the model begins with <think>."""
    return control_log_probs(model(prompts, use_cache=False).logits[:, -1], world)[:, 0].exp()


def _read(model: LlamaForCausalLM, tokens: Int[Tensor, "row token"], cache: DynamicCache) -> Float[Tensor, "row vocabulary"]:
    """Read further tokens; the logits behind the last."""
    logits: Tensor = model(tokens, use_cache=True, **{cache_argument(model): cache}).logits[:, -1]
    return logits
