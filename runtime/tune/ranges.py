"""A range of a number: a setting of the configuration, and the ends between which it may lie. Knows nothing about searching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, config_from_dict, to_dict

WIDE = 10
"""Times the lower end from which on a range is searched by its logarithm."""
OF_ANSWERS = "answer."
"""What keys begin with for which no sleep is made anew."""
FORM = "expected KEY=LOW:HIGH, such as dreams.most_doubt=0.02:0.4"


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers that one setting may have."""

    key: str
    low: float
    high: float
    configured: float
    """What it has, between the two: tried first, and what others are compared with."""
    whole: bool
    """Whether only whole numbers are meant."""

    @classmethod
    def parse(cls, text: str, config: Config) -> "Range":
        """`KEY=LOW:HIGH`; raises `UsageError` for another form, ends that the setting may not have, and a range without what is
        configured."""
        key, equals, ends = text.partition("=")
        first, colon, last = ends.partition(":")
        try:
            low, high = float(first), float(last)
        except ValueError:
            low = high = 0.0
        if not equals or not colon or not float("-inf") < low < high < float("inf"):
            raise UsageError(f"--range: got {text[:60]!r}, {FORM}")
        section, _, name = key.partition(".")
        values = to_dict(config).get(section)
        now = values.get(name) if isinstance(values, dict) else None
        whole = isinstance(now, int)
        for end in (low, high):
            with_values(config, {key: int(end) if whole and end == int(end) else end})
        if isinstance(now, bool) or not isinstance(now, (int, float)):
            raise UsageError(f"--range: {key} is {now!r}, expected a setting that has a number; give it one with --set {key}=NUMBER first")
        if not low <= now <= high:
            raise UsageError(f"--range: {key} is {now:g}, expected a range that holds it, got {first} to {last}; or set another with --set")
        return cls(key=key, low=low, high=high, configured=now, whole=whole)

    @property
    def log(self) -> bool:
        """Whether its numbers are of several sizes."""
        return self.low > 0 and self.high / self.low >= WIDE

    @property
    def sleeps(self) -> bool:
        """Whether another number means another sleep."""
        return not self.key.startswith(OF_ANSWERS)


def with_values(config: Config, values: Mapping[str, float]) -> Config:
    """The configuration with these numbers under their full keys. Raises `ConfigError` for one that may not be."""
    layers: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        layers.setdefault(section, {})[name] = value
    return config_from_dict(to_dict(config), flags={"--range": layers})


def assigned(ranges: Sequence[Range], values: Mapping[str, float]) -> str:
    """For people.

    >>> some = Range(key="dreams.most_doubt", low=0.1, high=1, configured=0.1, whole=False)
    >>> assigned([some], {"dreams.most_doubt": 0.123456})
    'dreams.most_doubt 0.123'
    """
    return ", ".join(f"{r.key} {values[r.key]:.3g}" for r in ranges)
