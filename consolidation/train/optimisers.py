"""How protocol training descends: Muon for the matrices of what is written, AdamW for the rest; and what each keeps of a parameter.

From the same start and draws Muon left the lower answer NLL at every depth (benchmarks/LOG.md); its steps are scaled to AdamW's size
(arXiv 2502.16982).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from nrem.consolidation.write.learned import SCRIBE

WEIGHT_DECAY = 0.01
READER = "reader_"
"""Parameters of what reads, the reader and the scribe, by name."""
GATE_PACE = 0.1
"""Step size of the gates, relative to the others': at the full one they soon open and close at random, and what is written is noise."""
GAIN_PACE = 0.2
"""Of gains and corrections: a gain that closes before the values of its layer have learned anything never opens again."""
PACES = {"gate_weight": GATE_PACE, "gain": GAIN_PACE, "correction": GAIN_PACE}
"""By a part of a parameter's name; 1 for all others."""
MOMENTS: dict[type[Optimizer], tuple[str, ...]] = {Muon: ("momentum_buffer",), AdamW: ("step", "exp_avg", "exp_avg_sq")}


@dataclass(frozen=True)
class Paces:
    """Step sizes relative to the training's."""

    reader: float = 1.0
    write: float = 1.0
    scribe: float = 1.0


class Optimisers:
    """Every parameter belongs to one of two optimisers, in a group with a pace of its own; one that has none is left out."""

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        step_size: float,
        values_decay: float = 0.0,
        by: Paces = Paces(),
        *,
        matrices_by: Literal["muon", "adamw"] = "muon",
    ) -> None:
        """`PACES` are relative to that of what writes."""
        paces = {SCRIBE: by.scribe, READER: by.reader} | {part: pace * by.write for part, pace in PACES.items()} | {"": by.write}
        matrices = {
            name: p for name, p in named.items() if p.ndim == 2 and min(p.shape) > 1 and READER not in name and matrices_by == "muon"
        }
        others = {name: p for name, p in named.items() if name not in matrices}
        self._parameters = list(named.values())
        self._step_size = step_size
        self._of: dict[str, tuple[nn.Parameter, Optimizer]] = {}
        if matrices:
            groups = _groups(matrices, WEIGHT_DECAY, paces)
            muon = Muon(groups, lr=step_size, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw")
            self._of |= {name: (p, muon) for name, p in matrices.items()}
        if others:
            adamw = AdamW(_groups(others, 0.0, paces), lr=step_size, weight_decay=0.0)
            self._of |= {name: (p, adamw) for name, p in others.items()}
        self._all = list(dict.fromkeys(optimiser for _, optimiser in self._of.values()))
        self._values_decay = values_decay
        self._anchored = [p for name, p in named.items() if name.endswith(".W2")] if values_decay else []

    def descend(self, loss: torch.Tensor, share: float) -> None:
        """One step, at this share of the step size."""
        for optimiser in self._all:
            for group in optimiser.param_groups:
                group["lr"] = group["pace"] * self._step_size * share
            optimiser.zero_grad()  # to none: what a step does not reach stays, and Muon's next step has full size all the same
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimiser in self._all:
            optimiser.step()
        with torch.no_grad():  # Muon's steps have full size however small the gradient: what is not learned would walk away at random
            for p in (p for p in self._anchored if p.grad is not None):
                p.lerp_(torch.eye(*p.shape, device=p.device), self._step_size * share * self._values_decay)

    def tensors(self) -> dict[str, torch.Tensor]:
        """What the next step depends on beside the parameters: `moment/parameter`."""
        return {f"{key}/{name}": value for name, (p, optimiser) in self._of.items() for key, value in optimiser.state.get(p, {}).items()}

    def take_up(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `tensors` gave."""
        for name, (p, optimiser) in self._of.items():
            held = {key: tensors[f"{key}/{name}"].clone() for key in MOMENTS[type(optimiser)] if f"{key}/{name}" in tensors}
            if held:
                optimiser.state[p] = {key: value if key == "step" else value.to(p.device) for key, value in held.items()}


def _groups(named: Mapping[str, nn.Parameter], weight_decay: float, paces: Mapping[str, float]) -> list[dict[str, Any]]:
    """By pace; no empty group."""
    by_pace: dict[float, list[nn.Parameter]] = {}
    for name, p in named.items():
        by_pace.setdefault(next(pace for part, pace in paces.items() if part in name), []).append(p)
    return [{"params": parameters, "pace": pace, "weight_decay": weight_decay} for pace, parameters in by_pace.items()]
