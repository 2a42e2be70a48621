"""The configuration with which a saved memory is opened. A memory may come from a stranger, so it decides nothing but numbers.

What is loaded, in which float type, how questions are answered and how much an answer may cost is the user's: settings, flags, defaults,
and the register of bases that the user has named before. Of the memory are taken only the sections that say how its adapter was written,
which reading on and writing anew need; each value is validated and bounded. Imports no model library.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from nrem.memory.errors import BaseMismatchError, ConfigError, MemoryFolderError
from nrem.memory.saved.record import MemoryRecord
from nrem.runtime.config import RENAMED, Config, Flags, config_from_dict, load_config
from nrem.runtime.models.known import recall_base

WRITTEN = ("stream", "fast_weights", "probes", "study", "sleep", "dreams", "guard")
"""Sections that say how an adapter was written."""
ASKING = ("model", "protocol", "answer")
"""Sections that say how a memory is asked."""
NOT_TAKEN = ("sleep.curves",)
"""Names a file."""
LIMITS: Mapping[str, int] = {
    "stream.chunk_tokens": 2**15,
    "stream.window_tokens": 2**20,
    "stream.overlap_tokens": 2**20,
    "stream.buffer_tokens": 2**24,
    "fast_weights.rank": 2**12,
    "fast_weights.segment_chunks": 2**20,
    "fast_weights.question_chunks": 2**20,
    "probes.facts_per_chunk": 1000,
    "probes.held_out_per_chunk": 1000,
    "probes.keyword_variants": 100,
    "probes.question_tokens": 2**12,
    "study.warm_up": 10**5,
    "study.distill_top": 1000,
    "study.items_per_write": 10**4,
    "study.batch_tokens": 2**20,
    "sleep.passes": 256,
    "sleep.blind_passes": 256,
    "sleep.patience": 256,
    "sleep.look_every": 10**6,
    "sleep.replay": 100,
    "dreams.per_sentence": 16,
    "guard.unrelated_tokens": 2**20,
}
"""The largest value that a memory may ask for, where it costs work."""
LONGEST_WORD = 256
BEFORE_DREAMS: dict[str, Any] = {"dreams": {"per_sentence": 0}}
"""How memories were written that say nothing of dreams."""


def opened_config(
    record: MemoryRecord, where: str, settings: Sequence[str] = (), flags: Flags | None = None, *, base_given: bool = False
) -> Config:
    """The user's configuration, with how the memory was written under it. `base_given`: the base is at hand and needs no name.

    Raises `MemoryFolderError`, naming `where`, for a value out of bounds, `ConfigError` for a wrong setting or flag of the user, and
    `BaseMismatchError` where nobody has said yet which model the memory's base is.
    """
    try:
        config = config_from_dict(written_values(record, where))
    except ConfigError as error:
        raise MemoryFolderError(f"{where}: {error}; restore its memory.json, or sleep again") from None
    config = config_from_dict(_sections(config), settings, flags)
    if base_given or "model.name" in config.given:
        return config
    known = recall_base(record.base)
    if known is None:
        raise BaseMismatchError(
            f"{where} was made for {record.base.short()}, which was not loaded here yet: say where it is with --model NAME, a folder, a "
            ".gguf file or a Hugging Face id"
        )
    asked = {key.removeprefix("model.") for key in config.given if key.startswith("model.")}
    return replace(config, model=replace(config.model, **{key: value for key, value in known.items() if key not in asked}))


def asking_flags(source: str | None) -> Flags:
    """What a preset or a TOML file says about asking, as flags: the rest of it is for sleeps, and a memory was made with its own."""
    if source is None:
        return {}
    config = load_config(source)
    values, given = asdict(config), [key.split(".", 1) for key in config.given if key.partition(".")[0] in ASKING]
    layer: dict[str, dict[str, Any]] = {}
    for section, key in given:
        layer.setdefault(section, {})[key] = values[section][key]
    return {f"--config {source}": layer}


def written_values(record: MemoryRecord, where: str) -> dict[str, Any]:
    """The values that are taken, under their sections."""
    saved = BEFORE_DREAMS | {RENAMED.get(key, key): value for key, value in record.config.items()}
    taken: dict[str, Any] = {"seed": record.seed}
    for section in WRITTEN:
        values = saved.get(section, {})
        if not isinstance(values, dict):
            raise MemoryFolderError(f"{where}: config.{section} is {str(values)[:60]!r}, expected a section; sleep again")
        for key, value in values.items():
            _check(f"{section}.{key}", value, where)
        taken[section] = {key: value for key, value in values.items() if f"{section}.{key}" not in NOT_TAKEN}
    return taken


def _check(key: str, value: Any, where: str) -> None:
    if isinstance(value, str) and len(value) <= LONGEST_WORD:
        return
    if isinstance(value, (bool, int, float)) and math.isfinite(value) and value <= LIMITS.get(key, 2**53):
        return
    raise MemoryFolderError(
        f"{where}: config.{key} is {str(value)[:60]!r}, expected a word or a number up to {LIMITS.get(key, 2**53):,}; sleep again"
    )


def _sections(config: Config) -> dict[str, Any]:
    values = asdict(config)
    return {"seed": config.seed} | {section: values[section] for section in WRITTEN}
