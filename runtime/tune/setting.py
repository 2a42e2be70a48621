"""A setting: everything about an answer that tuning chooses, which is passes, way, and wording. Knows nothing about what it scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nrem.consolidation.prompts import OWN_WORDING
from nrem.memory.saved.validated import STRICT
from nrem.runtime.show.night import plural

ALONE = "direct"
"""The way that puts nothing in the prompt; where a setting is called by name it goes without saying."""
SAME_WITHOUT_PASSES = "read"
"""A way that has the adapter off: it answers alike after any number of passes, and as those of `WITH_ADAPTER` do after none."""
WITH_ADAPTER = ("search", "ensemble")
"""Ways that have the same text in the prompt."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way of answering all questions."""

    __pydantic_config__ = STRICT

    passes: int | None
    """Passes that every chunk had; None for the document in the prompt."""
    way: str = ALONE
    """A way of answering with its amount, as `--way` has it: `search`, `vote:3`."""
    wording: str = OWN_WORDING
    """What the question becomes in the prompt."""

    @property
    def name(self) -> str:
        """
        >>> Setting(passes=4, way="search").name, Setting(passes=1).name
        ('4 passes, search', '1 pass')
        """
        parts = ["document in the prompt" if self.passes is None else plural(self.passes, "pass", "passes")]
        parts += [] if self.way == ALONE else [self.way]
        parts += [] if self.wording == OWN_WORDING else [f"asked as {self.wording!r}"]
        return ", ".join(parts)


def settings_of(levels: Sequence[int], ways: Sequence[str], wordings: Sequence[str]) -> list[Setting]:
    """Every combination, 0 passes first and the document in the prompt last; what has the adapter off is there once, at 0 passes."""
    found: dict[Setting, None] = {}
    for wording in dict.fromkeys((OWN_WORDING, *wordings)):
        for level in levels:
            for way in ways:
                name, colon, amount = way.partition(":")
                alike = any(f"{other}{colon}{amount}" in ways for other in WITH_ADAPTER)
                if name != SAME_WITHOUT_PASSES or (level == 0 and not alike):
                    found[Setting(passes=level, way=way, wording=wording)] = None
    found[Setting(passes=None)] = None
    return sorted(found, key=lambda s: (s.passes is None, s.passes or 0))


def way_strings(ways: Iterable[str] = (), search: Iterable[int] = (), votes: Iterable[int] = (), think: Iterable[int] = ()) -> list[str]:
    """Ways with their amounts, from what the flags of `nrem tune` say. No search is `direct`; a single vote and no thought are what is
    configured, which is tried in any case.

    >>> way_strings(["read"], search=[0, 1, 2], votes=[1, 3])
    ['read', 'direct', 'search', 'search:2', 'vote:3']
    """
    found = [*ways, *(ALONE if rounds == 0 else "search" if rounds == 1 else f"search:{rounds}" for rounds in search)]
    found += [f"vote:{count}" for count in votes if count > 1]
    found += [f"think:{tokens}" for tokens in think if tokens]
    return list(dict.fromkeys(found))
