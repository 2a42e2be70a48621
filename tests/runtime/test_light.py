"""What refuses comes before what takes seconds to import, and nothing that is imported talks."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
LIGHT = (
    "nrem.consolidation.guard_config",
    "nrem.memory.library.folder",
    "nrem.memory.saved.card",
    "nrem.memory.saved.record_file",
    "nrem.memory.text.evicted",
    "nrem.memory.weights.config",
    "nrem.runtime.config",
    "nrem.runtime.models.cache",
    "nrem.runtime.models.source",
    "nrem.runtime.readers.text",
    "nrem.runtime.wake.config",
)
EVERYTHING = "import nrem; [getattr(nrem, name) for name in nrem.__all__]; import nrem.runtime.models.load"


def run(code: str) -> tuple[set[str], str]:
    """The heavy libraries that a fresh interpreter holds after this code, and what it printed."""
    check = f"{code}\nimport sys\nprint('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8")
    *printed, last = done.stdout.splitlines()
    return set(last.split()[1:]), "\n".join(printed) + done.stderr


def test_what_refuses_is_light() -> None:
    assert run("; ".join(f"import {name}" for name in LIGHT)) == (set(), "")


@pytest.mark.parametrize("code", ["import nrem.memory.memory", "from transformers import AutoModel"])
def test_the_check_notices_what_is_heavy(code: str) -> None:
    assert "torch" in run(code)[0]


def test_nothing_imports_peft_or_bitsandbytes_and_nothing_talks() -> None:
    heavy, printed = run(EVERYTHING)
    assert "torch" in heavy
    assert heavy.isdisjoint({"peft", "bitsandbytes"})
    assert printed == ""


def test_a_wrong_model_is_refused_in_a_light_way() -> None:
    code = "from nrem.runtime.models.source import find_source\ntry: find_source('no-such')\nexcept Exception as error: print(error)"
    heavy, printed = run(code)
    assert heavy == set()
    assert "no-such: no such folder or file, and not a Hugging Face id" in printed
