"""What a memory writes, and how far two memories differ in it."""

import torch

from nrem.memory.memory import Memory


def change(memory: Memory) -> dict[str, torch.Tensor]:
    """What the memory adds to every module's weight."""
    return {f"{i} {name}": f.B @ f.A for i, s in enumerate(memory.segments) for name, f in s.weights.factors.items()}


def difference(first: Memory, second: Memory) -> float:
    """The largest relative difference of a module's change."""
    mine, theirs = change(first), change(second)
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).norm() / theirs[name].norm()) for name in mine)
