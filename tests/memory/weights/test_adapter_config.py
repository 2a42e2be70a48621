"""`adapter_config.json` is what PEFT itself would have written, in the keys that all its versions know."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, PeftConfig

from nrem.memory.saved.files import ADAPTER_CONFIG
from nrem.memory.weights.adapter_config import write_adapter_config

NAMES = ("model.layers.1.mlp.down_proj", "model.layers.0.mlp.down_proj")


@pytest.mark.parametrize("ranks", [(4, 4), (4, 8)])
@pytest.mark.parametrize("revision", ["", "v2"])
def test_peft_reads_what_it_would_have_written(tmp_path: Path, ranks: tuple[int, int], revision: str) -> None:
    by_name = dict(zip(NAMES, ranks, strict=True))
    write_adapter_config(tmp_path, by_name, transposed=True, base_model="some/base", revision=revision)
    smaller = {NAMES[0]: 4} if ranks == (4, 8) else {}
    own = LoraConfig(
        r=max(ranks),
        lora_alpha=max(ranks),
        rank_pattern=smaller,
        alpha_pattern=smaller,
        target_modules=list(NAMES),
        fan_in_fan_out=True,
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path="some/base",
        revision=revision or None,
    )
    read = PeftConfig.from_pretrained(str(tmp_path))
    assert read.to_dict() | {"peft_version": None} == own.to_dict() | {"peft_version": None}


def test_engines_find_the_keys_that_they_refuse_by(tmp_path: Path) -> None:
    """vLLM and SGLang read these by name, and want a list of targets."""
    write_adapter_config(tmp_path, {NAMES[0]: 4}, transposed=False, base_model="some/base", revision="")
    values = json.loads((tmp_path / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    assert values["target_modules"] == [NAMES[0]]
    assert values["revision"] is None
    assert (values["modules_to_save"], values["use_rslora"], values["use_dora"], values["bias"]) == (None, False, False, "none")
