"""Training of an asker: once per base model, to ask about a sentence what people ask, and to answer from the text.

Every step draws passages of about equal length and some of the questions that were given with them, and descends the NLL of questions and
answers behind their cues. The draw of a step depends on seed and step number only, so a run that was killed goes on from its checkpoint
with the same steps.
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.asking import CuedText, token_nll
from nrem.consolidation.train.data import Sampler, alike
from nrem.consolidation.train.optimisers import Optimisers
from nrem.consolidation.train.training import Training, changed
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.saved.journal import Journal

DRAWN = 3
"""Times as many passages are drawn as are read, to choose those of about equal length."""


@dataclass(frozen=True, kw_only=True)
class AskerConfig:
    rank: int = 8
    """Rank of the change of each module."""
    texts_per_step: int = 6
    """Passages read in a step."""
    cues_per_text: int = 5
    """Questions learned from each of them, at most."""
    max_chunk_tokens: int = 288
    """Longer passages are left out."""
    step_size: float = 7e-4
    """Step size of AdamW, after the warm-up; it falls linearly to a twentieth over the minutes."""
    warm_up: int = 10
    """Steps of the linear warm-up."""
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("rank", "texts_per_step", "cues_per_text", "max_chunk_tokens"):
            if (value := getattr(self, key)) < 1:
                raise UsageError(f"{key}: got {value}, expected 1 or more")
        if self.step_size <= 0:
            raise UsageError(f"step_size: got {self.step_size:g}, expected a number above 0")


class AskerTrainer(Training):
    """Trains an asker on a base model."""

    def __init__(
        self, split: SplitModel, prompts: Prompts, asker: Asker, sampler: Sampler, config: AskerConfig, journal: Journal, *, base: str
    ) -> None:
        """`base`: the hash of the base model's weights. All passages of the sampler have questions, at least one a cue."""
        self.split, self.prompts, self.asker, self.sampler, self.config = split, prompts, asker, sampler, config
        named = dict(asker.named_parameters())
        modules = [name for name, _ in asker.everywhere()]
        super().__init__(named, Optimisers(named, config.step_size), journal, {"config": asdict(config), "base": base, "modules": modules})

    def step(self, fraction: float) -> dict[str, Any]:
        """One step; `fraction` of the run is over. The loss is left on the device."""
        c, number = self.config, self.done.steps
        texts = self._drawn(random.Random(f"{c.seed} {number}"))
        loss = token_nll(self.split, self.prompts, self.asker, texts).mean()
        warm = min(1.0, (number + 1) / max(1, c.warm_up))
        self.optimisers.descend(loss, warm * max(0.05, 1 - fraction))
        self.done.steps += 1
        self.done.passages += len(texts)
        return {"loss": loss.detach()}

    def check(self, state: Mapping[str, Any]) -> None:
        advice = "give the same, or move this folder away to begin anew"
        if other := changed(state["config"], self.began["config"], ("rank",)):
            raise SleepError(f"{self.journal.folder}: this training began with {other}; {advice}")
        for key, what in (("base", "on another base model"), ("modules", "on a protocol of other modules")):
            if state[key] != self.began[key]:
                raise SleepError(f"{self.journal.folder}: this training began {what}; {advice}")

    def _drawn(self, rng: random.Random) -> list[CuedText]:
        """Texts of about equal length with some of their cues; those that turn out to have none are left out."""
        c = self.config
        texts: list[CuedText] = []
        while not texts:
            drawn = [self.sampler.group(rng, 1)[0] for _ in range(DRAWN * c.texts_per_step)]
            found = [CuedText.of(passage) for passage in alike(rng, drawn, c.texts_per_step)]
            texts = [text.some(c.cues_per_text, rng) for text in found if text.cues]
        return texts
