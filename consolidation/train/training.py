"""A training that takes minutes or hours: steps until its minutes are spent, and checkpoints from which a killed run goes on.

Knows nothing about what is trained, or on what.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from nrem.consolidation.train.optimisers import Optimisers
from nrem.memory.errors import SleepError
from nrem.memory.saved.journal import Journal

CHECKPOINT_SECONDS = 120.0
LOG_STEPS = 50
"""Steps that a line of the log is about."""
Log = Callable[[dict[str, Any]], None]


@dataclass
class Trained:
    """Where a training run stands."""

    steps: int = 0
    seconds: float = 0.0
    passages: int = 0


class Training(ABC):
    """Trains `named` parameters; `run` may be called again to go on. The draw of a step must depend on its seed and number only."""

    def __init__(self, named: Mapping[str, nn.Parameter], optimisers: Optimisers, journal: Journal, began: Mapping[str, Any]) -> None:
        """`began`: how this training began, in plain values, kept in every checkpoint for `check`. Goes on from the journal's last one."""
        self.named, self.optimisers, self.journal, self.began = named, optimisers, journal, began
        self.done = Trained()
        if (latest := journal.latest()) is not None:
            self._take_up(*latest)

    @abstractmethod
    def step(self, fraction: float) -> dict[str, Any]:
        """One step; `fraction` of the run is over. Losses are left on the device: reading them would make a GPU wait."""

    @abstractmethod
    def check(self, state: Mapping[str, Any]) -> None:
        """Raise `SleepError` where a checkpoint with this `began` is another training's."""

    def run(
        self,
        minutes: float,
        evaluate: Callable[[], dict[str, Any]],
        every_minutes: float,
        log: Log,
        keep: Callable[[Trained, dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> Trained:
        """Train until so many minutes of `clock` are spent, earlier runs included; now and then it checkpoints, evaluates and calls `keep`.

        At the end it checkpoints only: the caller evaluates what it became.
        """
        recent: list[torch.Tensor] = []
        mark, due, save_at = clock(), self.done.seconds + 60 * every_minutes, self.done.seconds + CHECKPOINT_SECONDS
        while self.done.seconds < 60 * minutes:
            figures = self.step(self.done.seconds / (60 * minutes))
            now = clock()
            self.done.seconds, mark = self.done.seconds + now - mark, now
            recent += [figures["loss"]] if "loss" in figures else []
            over = self.done.seconds >= 60 * minutes
            if self.done.steps % LOG_STEPS == 0 or over:
                log(
                    {
                        "step": self.done.steps,
                        "minutes": self.done.seconds / 60,
                        **{key: float(value) for key, value in figures.items()},
                        **({"loss": float(torch.stack(recent).mean())} if recent else {}),
                        "kind": "train",
                    }
                )
                recent = []
            if self.done.seconds >= save_at or over:
                self.checkpoint()
                save_at = self.done.seconds + CHECKPOINT_SECONDS
            if self.done.seconds >= due and not over:
                self.checkpoint()
                held_out = evaluate()
                log({"step": self.done.steps, "minutes": self.done.seconds / 60, **held_out, "kind": "evaluation"})
                keep(self.done, held_out)
                mark, due, save_at = clock(), self.done.seconds + 60 * every_minutes, self.done.seconds + CHECKPOINT_SECONDS
        return self.done

    def checkpoint(self) -> None:
        """Parameters, the optimisers' moments and where the run stands, in one file."""
        tensors = {f"parameter/{name}": p.detach() for name, p in self.named.items()} | self.optimisers.tensors()
        self.journal.checkpoint({**self.began, "done": asdict(self.done)}, tensors)

    def _take_up(self, state: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        self.check(state)
        if missing := [name for name in self.named if f"parameter/{name}" not in tensors]:
            raise SleepError(
                f"{self.journal.folder}: this checkpoint has no {missing[0]}, so another version of nrem wrote it; go on with that one, or "
                "move this folder away to begin anew"
            )
        self.done = Trained(**state["done"])
        with torch.no_grad():
            for name, p in self.named.items():
                p.copy_(tensors[f"parameter/{name}"])
        self.optimisers.take_up(tensors)


def changed(before: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str]) -> str:
    """`rank 8, got 9`, of the first key whose value is another than before; empty where none is."""
    return next((f"{key} {before[key]}, got {now[key]}" for key in keys if before[key] != now[key]), "")
