"""The world against a loop, and that nothing in a prompt names the number of hops."""

import torch

from nrem.runtime.route.world import World

WORLD = World.make(5, 3, 6, 2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_trace_is_the_walk() -> None:
    questions = WORLD.draw(50, seeded())
    for start, slots, trace in zip(questions.start.tolist(), questions.slots.tolist(), questions.trace.tolist(), strict=True):
        value, walk = start, []
        for slot in slots:
            value = WORLD.permutations[slot][value].item() if slot < 3 else value
            walk.append(value)
        assert walk == trace
    assert questions.answer.tolist() == questions.trace[:, -1].tolist()


def test_hops_are_what_is_asked_for_and_all_numbers_come() -> None:
    for hops in range(1, 7):
        drawn = WORLD.draw(20, seeded(), hops)
        assert ((drawn.slots < 3).sum(dim=1) == hops).all()
        assert (drawn.hops == hops).all()
    mixed = WORLD.draw(400, seeded())
    assert set(mixed.hops.tolist()) == set(range(1, 7))
    assert ((mixed.slots < 3).sum(dim=1) == mixed.hops).all()


def test_hops_stand_in_every_slot() -> None:
    assert set((WORLD.draw(200, seeded(), 1).slots < 3).int().argmax(dim=1).tolist()) == set(range(6))


def test_prompts_are_equally_long_and_tokens_do_not_overlap() -> None:
    questions = WORLD.draw(300, seeded())
    prompts = WORLD.prompts(questions, torch.arange(300) % 2)
    assert prompts.shape == (300, 1 + 6 + 1)
    start, slots, price = prompts[:, 0], prompts[:, 1:7], prompts[:, 7]
    kinds = [set(x.flatten().tolist()) for x in (start, slots, price)] + [{WORLD.think}, {WORLD.short}]
    assert sum(len(kind) for kind in kinds) == len(set().union(*kinds)) == WORLD.vocabulary
    assert max(set().union(*kinds)) == WORLD.vocabulary - 1


def test_the_same_world_and_questions_for_the_same_seed() -> None:
    again = World.make(5, 3, 6, 2)
    assert torch.equal(again.permutations, WORLD.permutations)
    assert torch.equal(again.draw(9, seeded(4)).slots, WORLD.draw(9, seeded(4)).slots)
    assert not torch.equal(again.draw(9, seeded(5)).slots, WORLD.draw(9, seeded(4)).slots)
