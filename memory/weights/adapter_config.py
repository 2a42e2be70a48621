"""`adapter_config.json`: what PEFT, and every engine that reads its folders, must know of the fast weights beside their values.

Written without PEFT: its `LoraConfig` alone takes seconds to import, and names keys that older versions of it refuse. What stands here are
the keys that all versions share; a test reads the file back with PEFT itself.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nrem.memory.saved.files import ADAPTER_CONFIG

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
    (folder / ADAPTER_CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
