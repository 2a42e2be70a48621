"""Every preset means something that can be measured, with the protocol that a user has."""

from pathlib import Path
from typing import Any

import pytest

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.runtime.config import Config, load_config, presets
from nrem.runtime.models.load import Base
from nrem.runtime.readers.text import Document
from nrem.runtime.session.consolidate import consolidate
from tests import tiny

MEASURED = {"default", "fast"}
ON_A_GPU = {"gpu-4bit"}
"""Needs bitsandbytes and a GPU; that it loads, and that each of its keys has an effect, is tested with the others."""


def test_every_preset_is_measured_or_needs_a_gpu() -> None:
    assert {*presets()} == MEASURED | ON_A_GPU
    assert {name for name in presets() if load_config(name).model.load_in} == ON_A_GPU


def slept(base: Base, config: Config) -> Memory:
    return consolidate(Document.from_text(tiny.STORY, "story"), base=base, config=config)


def in_all(memory: Memory) -> float:
    return sum(memory.record.fet.values())


def test_fast_takes_one_pass_and_costs_less(llama: Base, tmp_path: Path) -> None:
    protocol = save_protocol(tmp_path / "protocol", tiny.make_ridge_protocol(llama), llama.identity, {})
    small: dict[str, Any] = {"protocol": {"name": str(protocol)}, "stream": {"chunk_tokens": 128, "window_tokens": 256}}
    memories = {name: slept(llama, load_config(name, (), {"the test": small})) for name in MEASURED}
    passes = {name: {c.passes for c in m.record.chunks if c.num_probes} for name, m in memories.items()}
    assert passes == {"default": {2}, "fast": {1}}
    probes = {name: max(c.num_probes for c in m.record.chunks) for name, m in memories.items()}
    assert probes["fast"] == 2 < probes["default"]
    assert in_all(memories["fast"]) < 0.8 * in_all(memories["default"])


@pytest.mark.real_model
def test_fast_costs_less_with_the_shipped_protocol(real_base: Base) -> None:
    fet = {name: in_all(slept(real_base, load_config(name))) for name in MEASURED}
    assert fet["fast"] < 0.9 * fet["default"]
