"""What a pass has written is looked at before anything keeps it. Knows nothing about budgets or files."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from nrem.memory.errors import SleepError
from nrem.memory.finite import not_finite

ADVICE = "nothing of it was kept: sleep with smaller steps (study.step_size), or in another float type (--set model.dtype=fp32)"


def check_pass(number: int, losses: Mapping[int, float], *written: Mapping[str, Tensor]) -> None:
    """Raise `SleepError` where the losses of pass `number`, by chunk, or what it has written are not finite."""
    if (chunk := next((chunk for chunk, loss in losses.items() if not math.isfinite(loss)), None)) is not None:
        raise SleepError(f"pass {number}: the loss of chunk {chunk} is {losses[chunk]}, expected a finite number; {ADVICE}")
    if bad := next(filter(None, map(not_finite, written)), ""):
        raise SleepError(f"pass {number}: what it wrote is not finite ({bad}); {ADVICE}")


@contextmanager
def solvable() -> Iterator[None]:
    """What cannot be solved in the block, since figures are not finite or overflow, is a `SleepError`."""
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise SleepError(
            f"what was read gives no solution, figures are not finite or overflow ({str(error).split(':')[0]}); {ADVICE}"
        ) from None
