"""Sampling beside a plain reading of the same tokens: the cache and the padding change nothing."""

import pytest
import torch

from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.network import Rollouts, answers, make_model, response_log_probs, roll_out, think_probs
from nrem.runtime.route.train import by_way
from nrem.runtime.route.world import World

CONFIG = RouterConfig(values=4, moves=2, slots=3, hidden=16, heads=2)
WORLD = World.make(4, 2, 3, 2)
MODEL = make_model(CONFIG, WORLD).eval()


def prompts_of(count: int, seed: int = 0) -> torch.Tensor:
    questions = WORLD.draw(count, torch.Generator().manual_seed(seed))
    return WORLD.prompts(questions, torch.zeros_like(questions.start))


def sampled(forced_share: float = 0.25, seed: int = 0) -> tuple[torch.Tensor, Rollouts]:
    prompts = prompts_of(6)
    return prompts, roll_out(MODEL, WORLD, prompts, 4, forced_share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("read", [response_log_probs, by_way])
def test_log_probs_of_sampling_are_those_of_reading(read: object) -> None:
    prompts, found = sampled()
    assert callable(read)
    got = read(MODEL, WORLD, prompts.repeat_interleave(4, dim=0), found.tokens.flatten(0, 1)).detach()
    mask = found.mask.flatten(0, 1)
    torch.testing.assert_close(got[mask], found.log_prob.flatten(0, 1)[mask], atol=1e-5, rtol=1e-4)


def test_short_answers_have_one_token_and_thoughts_one_a_slot() -> None:
    _, found = sampled()
    assert torch.equal(found.tokens[:, :, 0] == WORLD.think, found.thought)
    assert torch.equal(found.mask.sum(dim=2), torch.where(found.thought, 4, 2))
    ends = torch.where(found.thought, found.tokens[:, :, -1], found.tokens[:, :, 1])
    assert torch.equal(found.last, ends)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_one_way_alone_can_be_sampled(share: float) -> None:
    _, found = sampled(share)
    assert torch.isfinite(found.log_prob).all()
    if share:
        assert found.thought.sum(dim=1).tolist() == [2] * 6


def test_the_same_generator_samples_the_same() -> None:
    assert torch.equal(sampled(seed=3)[1].tokens, sampled(seed=3)[1].tokens)
    assert not torch.equal(sampled(seed=3)[1].tokens, sampled(seed=4)[1].tokens)


@pytest.mark.parametrize("think", [False, True])
def test_the_most_likely_answer_is_that_of_a_loop_without_a_cache(think: bool) -> None:
    prompts = prompts_of(5, seed=2)
    text = torch.cat([prompts, torch.full((5, 1), WORLD.think if think else WORLD.short)], dim=1)
    for _ in range(3 if think else 1):
        text = torch.cat([text, MODEL(text).logits[:, -1:].argmax(dim=-1)], dim=1)
    assert answers(MODEL, WORLD, prompts, think=think).tolist() == text[:, -1].tolist()


def test_the_decision_is_between_two_tokens() -> None:
    prompts = prompts_of(5)
    logits = MODEL(prompts).logits[:, -1].detach()
    wanted = torch.sigmoid(logits[:, WORLD.think] - logits[:, WORLD.short])
    torch.testing.assert_close(think_probs(MODEL, WORLD, prompts), wanted)
