"""A resumable run of training steps: model, optimiser and where it stands in one checkpoint of the project's journal.

The draw of a step depends on seed and step number only, so a run that was killed goes on with the same steps. Knows nothing about what a
step does.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from nrem.memory.saved.journal import Journal

CHECKPOINT_SECONDS = 30.0
WEIGHTS = "model.safetensors"
UNFINISHED = ".training"
"""What the folder of the journal ends with, beside the model's."""
Figures = dict[str, float]
Tell = Callable[[str, int, int, Figures], None]
"""Called with the name of the phase, steps done, steps in all, and what was measured on the way."""
Step = Callable[[int, torch.optim.Optimizer], Figures]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One run: where its model goes, how long it may take, and what its steps are."""

    name: str
    folder: Path
    """The finished model's, as transformers saves it."""
    steps: int
    seconds: float
    """Wall time it may take, earlier runs included; cut off, it keeps what it has."""
    step_size: float
    decay: bool
    """Whether the step size falls linearly to a twentieth."""
    warm_up: int = 20
    """Steps over which it rises."""

    def scale(self, step: int) -> float:
        """The share of the step size at a step."""
        rise = min(1.0, (step + 1) / self.warm_up)
        return rise * max(0.05, 1 - step / self.steps) if self.decay else rise


@dataclass(frozen=True)
class Finished:
    """A phase that has ended."""

    model: LlamaForCausalLM
    steps: int
    seconds: float


def descend(
    phase: Phase,
    model: LlamaForCausalLM,
    make_step: Callable[[LlamaForCausalLM], Step],
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Finished:
    """Train `model`, or take up what an earlier run of the same folder left; the finished model is saved there."""
    journal = Journal(phase.folder.with_name(phase.folder.name + UNFINISHED))
    if phase.folder.exists():
        model.load_state_dict(load_file(phase.folder / WEIGHTS))
        state = LlamaConfig.from_pretrained(phase.folder).router_training
        return Finished(model, state["steps"], state["seconds"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=phase.step_size, betas=(0.9, 0.98), weight_decay=0.01)
    step = make_step(model)
    done_steps, seconds = _take_up(journal, model, optimiser)
    Journal.open(journal.folder)
    mark, save_at, due = clock(), seconds + CHECKPOINT_SECONDS, max(1, phase.steps // 10)
    while done_steps < phase.steps and seconds < phase.seconds:
        for group in optimiser.param_groups:
            group["lr"] = phase.step_size * phase.scale(done_steps)
        figures = step(done_steps, optimiser)
        done_steps, now = done_steps + 1, clock()
        seconds, mark = seconds + now - mark, now
        if done_steps % due == 0:
            tell(phase.name, done_steps, phase.steps, figures)
        if seconds >= save_at:
            _checkpoint(journal, model, optimiser, done_steps, seconds)
            save_at = seconds + CHECKPOINT_SECONDS
    model.config.router_training = {"steps": done_steps, "seconds": seconds}
    made = phase.folder.with_name(f".{phase.folder.name}.tmp")
    shutil.rmtree(made, ignore_errors=True)
    model.config.save_pretrained(made)
    save_file(model.state_dict(), made / WEIGHTS, metadata={"format": "pt"})  # without the progress bars of save_pretrained
    made.rename(phase.folder)
    journal.remove()
    return Finished(model, done_steps, seconds)


def _checkpoint(journal: Journal, model: LlamaForCausalLM, optimiser: torch.optim.Optimizer, steps: int, seconds: float) -> None:
    tensors = {f"parameter/{name}": p for name, p in model.named_parameters()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"moment/{number}/{key}": value for key, value in state.items()}
    journal.checkpoint({"steps": steps, "seconds": seconds}, tensors)


def _take_up(journal: Journal, model: LlamaForCausalLM, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    """Steps and seconds of the last checkpoint, which is put into model and optimiser; 0 where there is none."""
    if (latest := journal.latest()) is None:
        return 0, 0.0
    state, tensors = latest
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(tensors[f"parameter/{name}"])
    moments: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("moment/"):
            _, number, key = name.split("/")
            moments.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
    return int(state["steps"]), float(state["seconds"])
