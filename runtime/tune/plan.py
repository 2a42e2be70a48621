"""What a tuning run tries, and on how much: the settings, those that are measured whatever happens, and the share of the price of all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from nrem.consolidation.prompts import OWN_WORDING, check_wording
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config
from nrem.runtime.tune.setting import ALONE, Setting, settings_of
from nrem.runtime.wake.ways import resolve_way

PASSES = (0, 1, 2, 4, 8)
FEW = 24
"""Settings up to which all are measured on every question, where nothing else is said."""
SEVERAL = 2
"""Chunks that a text is taken to have, before a model has cut it: `auto` stands for the way of long texts."""
SHARE = 0.25
"""Of the price of all, above that: enough to find a planted best setting in nearly every run (`benchmarks/tuning.py`)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings, and how many questions there are."""

    levels: tuple[int, ...]
    ways: tuple[str, ...]
    """The configured way first, then `direct`, then the others."""
    wordings: tuple[str, ...]
    configured_wording: tuple[str, ...]
    """The protocol's own, and the one of the configuration."""
    questions: int
    share: float
    """Of what all settings on all questions would cost; 1 for all of them."""

    @classmethod
    def of(
        cls,
        config: Config,
        questions: int,
        passes: Sequence[int] = PASSES,
        ways: Sequence[str] = (),
        wordings: Sequence[str] = (),
        share: float | None = None,
    ) -> "Plan":
        """Raises `UsageError` for what cannot be tried: levels, ways, wordings, a share."""
        if share is not None and not 0 < share <= 1:
            raise UsageError(f"--share: got {share:g}, expected a number above 0 and at most 1, the part of the price of all to spend")
        known: dict[str, Any] = {"kept": SEVERAL, "again": config.answer.sleep_again, "memory": "the text"}
        tried = (str(resolve_way(way, **known)) for way in (config.answer.way, ALONE, *ways))
        worded = [check_wording(wording, "--prompts") for wording in (config.answer.wording, *wordings)]
        plan = cls(
            levels=tuple(check_levels(passes)),
            ways=tuple(dict.fromkeys(tried)),
            wordings=tuple(dict.fromkeys((OWN_WORDING, *worded))),
            configured_wording=tuple(dict.fromkeys((OWN_WORDING, config.answer.wording))),
            questions=questions,
            share=1.0,
        )
        few = len(plan.settings) <= FEW
        return replace(plan, share=share if share is not None else 1.0 if few else SHARE)

    @property
    def settings(self) -> list[Setting]:
        """0 passes first, the document in the prompt last."""
        return settings_of(self.levels, self.ways, self.wordings)

    @property
    def always(self) -> list[Setting]:
        """Measured on every question: 0 passes, what is configured at the deepest level, and the document in the prompt."""
        deepest, configured, wording = self.levels[-1], self.ways[0], self.configured_wording
        wanted = [
            Setting(passes=level, way=way, wording=words) for level in (0, deepest) for way in (ALONE, configured) for words in wording
        ]
        return [setting for setting in self.settings if setting in wanted or setting.passes is None]


def check_levels(passes: Sequence[int]) -> list[int]:
    """Sorted, 0 among them; raises `UsageError` where nothing is to be tuned."""
    levels = sorted({0, *passes})
    if levels[0] < 0 or levels[-1] == 0:
        raise UsageError(f"--passes: got {', '.join(map(str, passes))}, expected whole numbers from 0, one above it, such as 0,1,2,4,8")
    return levels
