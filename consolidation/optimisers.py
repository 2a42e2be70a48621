"""How protocol training descends: Muon for matrices, AdamW for what is none, and what each keeps of a parameter.

From the same start and draws Muon left the lower answer NLL at every depth (benchmarks/LOG.md); its steps are scaled to AdamW's size
(arXiv 2502.16982).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

WEIGHT_DECAY = 0.01
READER_PACE = 0.5
"""Step size of the reader, relative to what is written: it is asked about fewer texts."""
GATE_PACE = 0.1
"""Step size of the gates, relative to the others': at the full one they soon open and close at random, and what is written is noise."""
MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {Muon: ("momentum_buffer",), AdamW: ("step", "exp_avg", "exp_avg_sq")}


class Optimisers:
    """Every parameter belongs to one of two optimisers, in a group with a pace of its own."""

    def __init__(self, named: Mapping[str, nn.Parameter], step_size: float) -> None:
        matrices = {name: p for name, p in named.items() if p.ndim == 2 and min(p.shape) > 1}
        others = {name: p for name, p in named.items() if name not in matrices}
        by_matrix = _groups(matrices, "reader_", pace=READER_PACE, weight_decay=WEIGHT_DECAY)
        by_other = _groups(others, "gate_weight", pace=GATE_PACE, weight_decay=0.0)
        self._parameters = list(named.values())
        self._step_size = step_size
        muon = Muon(by_matrix, lr=step_size, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
        adamw = AdamW(by_other, lr=step_size, weight_decay=WEIGHT_DECAY)
        self._of: dict[str, tuple[nn.Parameter, Optimizer]] = {name: (p, muon if name in matrices else adamw) for name, p in named.items()}
        self._both: tuple[Optimizer, ...] = (muon, adamw)

    def descend(self, loss: torch.Tensor, share: float) -> None:
        """One step, at this share of the step size."""
        for optimiser in self._both:
            for group in optimiser.param_groups:
                group["lr"] = group["pace"] * self._step_size * share
            optimiser.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimiser in self._both:
            optimiser.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the next step depends on beside the parameters: `moment/parameter`."""
        return {f"{key}/{name}": value for name, (p, optimiser) in self._of.items() for key, value in optimiser.state.get(p, {}).items()}

    def take_up(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `tensors` gave."""
        for name, (p, optimiser) in self._of.items():
            held = {key: tensors[f"{key}/{name}"].clone() for key in MOMENTS[type(optimiser)] if f"{key}/{name}" in tensors}
            if held:
                optimiser.state[p] = {key: value if key == "step" else value.to(p.device) for key, value in held.items()}
                p.grad = torch.zeros_like(p)  # as in a run that was not cut off: a step that does not reach it moves it all the same


def _groups(named: Mapping[str, nn.Parameter], apart: str, **options: float) -> list[dict[str, Any]]:
    """Those whose name has `apart` in it, with these options, and the rest at full pace; no empty group."""
    rest = {"params": [p for name, p in named.items() if apart not in name], "pace": 1.0}
    held = {"params": [p for name, p in named.items() if apart in name], **options}
    return [group for group in (rest, held) if group["params"]]
