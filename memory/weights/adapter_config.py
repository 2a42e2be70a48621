"""`adapter_config.json`: what PEFT, and every engine that reads its folders, must know of the fast weights beside their values.

Written without PEFT: its `LoraConfig` alone takes seconds to import, and names keys that older versions of it refuse. What stands here are
the keys that all versions share; a test reads the file back with PEFT itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.files import ADAPTER_CONFIG
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.regular import read_regular

PLAIN_LORA: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "auto_mapping": None,
    "bias": "none",
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_dropout": 0.0,
    "modules_to_save": None,
    "use_dora": False,
    "use_rslora": False,
}


def write_adapter_config(folder: Path, ranks: Mapping[str, int], *, transposed: bool, base_model: str, revision: str) -> None:
    """Write the file into an existing folder. `ranks` is the rank of each adapted module, by its full name; the scale is 1 everywhere.

    `base_model` is what `from_pretrained` is to be given for the base: a Hugging Face id with, perhaps, a `revision`, or a folder.
    """
    largest = max(ranks.values())
    smaller = {name: rank for name, rank in sorted(ranks.items()) if rank < largest}
    values = PLAIN_LORA | {
        "base_model_name_or_path": base_model,
        "revision": revision or None,
        "r": largest,
        "lora_alpha": largest,
        "rank_pattern": smaller,
        "alpha_pattern": smaller,
        "target_modules": sorted(ranks),
        "fan_in_fan_out": transposed,
    }
    (folder / ADAPTER_CONFIG).write_text(json_text(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class AdapterConfig(NamedTuple):
    """What is taken of a file that is there."""

    modules: tuple[str, ...]
    """Full names of the adapted modules, sorted."""
    transposed: bool


MOST_MODULES = 100_000
MOST_RANK = 65_536
NAMES = ("base_model_name_or_path", "revision", "peft_version")
"""For others; nrem finds a base by its hashes."""
KNOWN = {*PLAIN_LORA, *NAMES, "r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "fan_in_fan_out"}
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,255}")


def read_adapter_config(folder: Path) -> AdapterConfig:
    """Read what `write_adapter_config` wrote, and believe nothing else.

    Any other key with a value, such as `exclude_modules`, and any name of a module that could be a pattern would have PEFT do what no
    nrem asked for: raises `MemoryFolderError`.
    """
    where = folder / ADAPTER_CONFIG
    try:
        values = parse_json(read_regular(folder, ADAPTER_CONFIG))
    except ValueError as error:
        if isinstance(error, MemoryFolderError):
            raise
        raise MemoryFolderError(f"{where}: not valid JSON ({error}); restore the file or sleep again") from None
    problem = "expected a JSON object" if not isinstance(values, dict) else _problem(values)
    if problem:
        raise MemoryFolderError(f"{where}: {problem}; restore the file or sleep again")
    return AdapterConfig(tuple(sorted(values["target_modules"])), values.get("fan_in_fan_out") is True)


def _problem(values: dict[str, Any]) -> str:
    """What nrem would not have written, in words; empty where there is nothing."""
    modules = values.get("target_modules")
    if not isinstance(modules, list) or not 0 < len(modules) <= MOST_MODULES or not all(_is_module(name) for name in modules):
        return "target_modules is not a list of names of modules"
    for key, expected in PLAIN_LORA.items():
        if values.get(key, expected) != expected:
            return f"{key} is {str(values[key])[:60]!r}, expected {expected!r}"
    for key in ("rank_pattern", "alpha_pattern"):
        ranks = values.get(key) or {}
        if not isinstance(ranks, dict) or not ranks.keys() <= set(modules) or not all(_is_rank(rank) for rank in ranks.values()):
            return f"{key} is not made of ranks of the adapted modules"
    if not _is_rank(values.get("r")) or not _is_rank(values.get("lora_alpha")):
        return f"r and lora_alpha are {str(values.get('r'))[:20]} and {str(values.get('lora_alpha'))[:20]}, expected whole numbers from 1"
    if foreign := sorted(key for key, value in values.items() if key not in KNOWN and value not in UNSET):
        return f"{foreign[0]} is set, which nrem never does"
    return ""


UNSET: tuple[Any, ...] = (None, False, [], {}, "", "megatron.core", 16)
"""What other versions of PEFT write for what is not used; the last two are defaults of `megatron_core` and `qalora_group_size`."""


def _is_module(name: Any) -> bool:
    return isinstance(name, str) and _MODULE.fullmatch(name) is not None


def _is_rank(rank: Any) -> bool:
    return isinstance(rank, int) and not isinstance(rank, bool) and 1 <= rank <= MOST_RANK
