"""`nrem verify` finds damage of every kind, and says which in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli import Shell
from tests.sealed import change_record, rehash

ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def memory(shell: Shell) -> Path:
    """A saved memory."""
    assert shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m").code == 0
    return shell.folder / "m"


def rewrite(memory: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change tensors and record the new hash, as a faulty program would."""
    tensors = load_file(memory / ADAPTER)
    change(tensors)
    save_file(tensors, memory / ADAPTER, metadata={"format": "pt"})
    rehash(memory, ADAPTER)


def set_nan(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values()))[0, 0] = float("nan")


def widen(tensors: dict[str, torch.Tensor]) -> None:
    for key, tensor in tensors.items():
        tensors[key] = torch.cat([tensor, tensor], 1 if "lora_B" in key else 0)


def test_a_sound_memory_passes_every_check(shell: Shell, memory: Path) -> None:
    done = shell("verify", "m", "--json")
    found = json.loads(done.out)
    assert [c["name"] for c in found["checks"]] == ["files", "tensors", "base model", "PEFT", "answer"]
    assert found["ok"]
    assert "gives the same logits" in found["checks"][3]["found"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda m: (m / ADAPTER).write_bytes((m / ADAPTER).read_bytes()[:-9]), f"m: files: {ADAPTER} was changed or damaged after saving"),
        (lambda m: (m / ADAPTER).unlink(), f"m: files: {ADAPTER} is missing"),
        (
            lambda m: (m / "text" / "chunks.jsonl").write_text("{}\n", encoding="utf-8"),
            "m: files: text/chunks.jsonl was changed or damaged",
        ),
        (lambda m: rewrite(m, set_nan), "holds values that are not finite"),
        (lambda m: rewrite(m, widen), "m: PEFT: cannot open m"),
    ],
    ids=["truncated", "missing", "text", "nan", "shape"],
)
def test_damage_is_named(shell: Shell, memory: Path, damage: Callable[[Path], object], sentence: str) -> None:
    damage(memory)
    done = shell("verify", "m")
    assert done.code == 1
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert "failed" in done.out


def test_another_answer_is_noticed(shell: Shell, memory: Path) -> None:
    change_record(memory, lambda values: values["canary"].update(answer="in the cellar"))
    done = shell("verify", "m")
    assert done.code == 1
    assert "recorded was 'in the cellar'" in done.err


def test_another_base_is_noticed(shell: Shell, memory: Path, model_folders: tuple[Path, Path]) -> None:
    done = shell("verify", "m", "--model", str(model_folders[1]))
    assert done.code == 1
    assert "m: base model: was made for" in done.err
