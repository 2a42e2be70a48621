"""A memory decides nothing but numbers: what is loaded and how it is answered is the user's, whatever its `memory.json` says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nrem.memory.errors import BaseMismatchError, MemoryFolderError, ModelError
from nrem.memory.memory import Memory
from nrem.memory.rebuild import merge
from nrem.memory.saved.record_file import read_record
from nrem.runtime.config import load_config
from nrem.runtime.models.cache import cache_folder
from nrem.runtime.models.known import recall_base
from nrem.runtime.models.load import load
from nrem.runtime.opened import LIMITS, asking_flags, opened_config
from nrem.runtime.parts import config_of
from nrem.runtime.wake.wake import Wake
from tests.cli import Shell, save_model
from tests.sealed import change_record

ROOT = Path(__file__).parents[2]
PLANTED = "from pathlib import Path\nPath({path!r}).write_text('ran', encoding='utf-8')\nclass Thing: pass\n"
AUTO_MAP = dict.fromkeys(("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"), "planted.Thing")


@pytest.fixture
def memory(shell: Shell) -> Path:
    """A saved memory whose base the user has named once."""
    assert shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m").code == 0
    return shell.folder / "m"


def plant(folder: Path, model_folder: Path, *, model_type: str = "") -> Path:
    """A base model's folder with code beside it; returns the file that the code would write."""
    shutil.copytree(model_folder, folder)
    proof = folder.parent / "proof"
    (folder / "planted.py").write_text(PLANTED.format(path=str(proof)), encoding="utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        values = json.loads((folder / name).read_text(encoding="utf-8")) | {"auto_map": AUTO_MAP}
        if model_type and name == "config.json":
            values |= {"model_type": model_type}
        (folder / name).write_text(json.dumps(values), encoding="utf-8")
    return proof


def test_code_in_a_base_s_folder_is_never_run(tmp_path: Path, model_folder: Path) -> None:
    proof = plant(tmp_path / "known", model_folder)
    load(str(tmp_path / "known"), dtype="fp32")  # transformers has this kind itself
    plant(tmp_path / "unknown", model_folder, model_type="planted")
    for dtype in ("auto", "fp32"):
        with pytest.raises(ModelError, match=r"needs code of its own, which nrem never runs|cannot open this folder"):
            load(str(tmp_path / "unknown"), dtype=dtype)
    assert not proof.exists()


def test_a_base_that_a_memory_names_is_not_loaded(shell: Shell, memory: Path, model_folder: Path) -> None:
    proof = plant(memory / "base", model_folder)
    change_record(memory, lambda values: values["config"]["model"].update(name=str(memory / "base")))
    done = shell("ask", "m", "Who kept the lighthouse?")
    assert done.code == 0, "the user's own base is found by its hashes"
    assert not proof.exists()
    assert config_of(Memory.load(memory)).model.name != str(memory / "base")


def test_a_base_is_found_again_by_its_hashes(shell: Shell, memory: Path, model_folder: Path) -> None:
    assert recall_base(read_record(memory).base) == {"name": str(model_folder), "load_in": "", "revision": ""}
    assert shell("ask", "m", "Who kept the lighthouse?").code == 0
    (cache_folder() / "bases.json").unlink()
    for command in (["ask", "m", "Who?"], ["chat", "m"], ["verify", "m"], ["extend", "m", "story.md"]):
        done = shell(*command)
        assert (done.code, done.out) == (1, "")
        weights = read_record(memory).base.weights_sha256[:6]
        assert f"(weights {weights}), which was not loaded here yet: say where it is with --model NAME" in done.err
        assert len(done.err.splitlines()) == 1
    assert shell("ask", "m", "Who?", "--model", str(model_folder)).code == 0
    assert shell("ask", "m", "Who?").code == 0, "it is known from then on"


def test_another_base_by_name_is_refused_before_anything_is_attached(shell: Shell, memory: Path, model_folders: tuple[Path, Path]) -> None:
    done = shell("ask", "m", "Who?", "--model", str(model_folders[1]))
    assert done.code == 1
    assert "m was made for" in done.err
    assert "load the first model, or sleep again with this one" in done.err


def test_a_name_that_no_longer_leads_anywhere_is_asked_for_again(shell: Shell, tmp_path: Path) -> None:
    base = save_model(tmp_path / "gone", seed=3)
    assert shell("sleep", "story.md", "--config", "tiny.toml", "--model", str(base), "-o", "g").code == 0
    shutil.rmtree(base)
    assert "which was not loaded here yet" in shell("ask", "g", "Who?").err


DECIDES: list[tuple[str, Callable[[dict[str, Any]], object], Callable[[Any], object]]] = [
    ("model name", lambda c: c["model"].update(name="/tmp/evil"), lambda c: c.model.name),
    ("float type", lambda c: c["model"].update(dtype="fp16"), lambda c: c.model.dtype),
    ("packing", lambda c: c["model"].update(load_in="4bit"), lambda c: c.model.load_in),
    ("protocol", lambda c: c["protocol"].update(name="/tmp/evil"), lambda c: c.protocol.name),
    ("curves", lambda c: c["sleep"].update(curves="/etc/passwd"), lambda c: c.sleep.curves),
    ("answer length", lambda c: c["answer"].update(max_new_tokens=10**6), lambda c: c.answer.max_new_tokens),
    ("sleep again", lambda c: c["answer"].update(sleep_again=10**6), lambda c: c.answer.sleep_again),
    ("way", lambda c: c["answer"].update(way="read"), lambda c: c.answer.way),
    ("batch", lambda c: c["answer"].update(batch_size=10**6), lambda c: c.answer.batch_size),
    ("unknown section", lambda c: c.update(evil={"run": "me"}), lambda c: None),
]


@pytest.mark.parametrize(("name", "change", "found"), DECIDES, ids=[row[0] for row in DECIDES])
def test_what_a_memory_may_not_decide(
    shell: Shell, memory: Path, name: str, change: Callable[[dict[str, Any]], object], found: Callable[[Any], object]
) -> None:
    before = config_of(Memory.load(memory))
    change_record(memory, lambda values: change(values["config"]))
    assert found(config_of(Memory.load(memory))) == found(before)
    assert config_of(Memory.load(memory)) == before


def test_only_what_this_process_made_speaks_for_the_user(shell: Shell, memory: Path) -> None:
    first, second = Memory.load(memory), Memory.load(memory)
    assert not first.made_here
    assert not merge(first, second).made_here
    mine = Memory(record=first.record, segments=first.segments, text=first.text)
    assert mine.made_here
    assert not merge(mine, second).made_here
    mine.record.config["answer"]["max_new_tokens"] = 3
    assert config_of(mine).answer.max_new_tokens == 3
    assert config_of(first).answer.max_new_tokens == 24


def test_the_user_decides_the_same(shell: Shell, memory: Path) -> None:
    config = config_of(Memory.load(memory), ["answer.sleep_again=2", "answer.max_new_tokens=3"], {"--way": {"answer": {"way": "direct"}}})
    assert (config.answer.sleep_again, config.answer.max_new_tokens, config.answer.way) == (2, 3, "direct")


def test_a_file_says_how_questions_are_asked_and_nothing_else(shell: Shell, memory: Path) -> None:
    lines = ("[answer]", 'way = "direct"', 'wording = "In short: {question}"', "[sleep]", "passes = 7")
    (shell.folder / "asking.toml").write_text("\n".join(lines), encoding="utf-8")
    before, config = config_of(Memory.load(memory)), config_of(Memory.load(memory), (), asking_flags("asking.toml"))
    assert (config.answer.way, config.answer.wording) == ("direct", "In short: {question}")
    assert config.sleep == before.sleep
    assert config_of(Memory.load(memory), ["answer.way=read"], asking_flags("asking.toml")).answer.way == "read"
    assert asking_flags("default") == {"--config default": {}}
    done = shell("ask", "m", "Who kept the lighthouse?", "--config", "asking.toml", "--json")
    assert (done.code, json.loads(done.out)["way"], done.err) == (0, "direct", "")
    done = shell("ask", "m", "Who?", "--config", "asking.toml", "--way", "read", "--json")
    assert json.loads(done.out)["way"] == "read"


def test_how_an_adapter_was_written_is_taken(shell: Shell, memory: Path) -> None:
    written, mine = config_of(Memory.load(memory)), load_config("tiny.toml")
    for section in ("stream", "fast_weights", "probes", "study", "sleep", "guard", "seed", "protocol"):
        assert getattr(written, section) == getattr(mine, section)


@pytest.mark.parametrize("key", sorted(LIMITS))
def test_every_number_that_costs_work_is_bounded(shell: Shell, memory: Path, key: str) -> None:
    section, name = key.split(".")
    record = read_record(memory)
    for value in (LIMITS[key] + 1, float("nan"), [1], "x" * 1000):
        record.config[section][name] = value
        with pytest.raises(MemoryFolderError, match=f"m: .*{key}"):
            opened_config(record, "m", base_given=True)


def test_a_key_that_nrem_does_not_know_is_told(shell: Shell, memory: Path) -> None:
    change_record(memory, lambda values: values["config"]["sleep"].update(pases=3))
    done = shell("ask", "m", "Who?")
    assert (done.code, done.out) == (1, "")
    assert "unknown key sleep.pases; did you mean sleep.passes?" in done.err


def test_a_given_base_needs_no_name(shell: Shell, memory: Path, model_folder: Path) -> None:
    base = load(str(model_folder))
    (cache_folder() / "bases.json").unlink()
    with pytest.raises(BaseMismatchError, match="which was not loaded here yet"):
        Wake.open(Memory.load(memory))
    assert Wake.open(Memory.load(memory), base).answer("Who?").answer is not None


def test_a_refusal_imports_no_model_library(shell: Shell, memory: Path) -> None:
    """What is damaged, and whose base is not known, is told in a fraction of a second."""
    (cache_folder() / "bases.json").unlink()
    whole = ["ask", "m", "Who?"]
    damaged = Path(shutil.copytree(memory, shell.folder / "damaged")) / "memory.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    for command, words in ((whole, "not loaded here yet"), (["ask", "damaged", "Who?"], "its own hash differs")):
        code = (
            f"import sys; sys.argv = ['nrem', *{command!r}]\n"
            "try:\n    from nrem.runtime.commands.main import main; main()\n"
            "except SystemExit:\n    print('HEAVY', *[n for n in ('torch', 'transformers', 'peft') if n in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=shell.folder,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.stdout.split() == ["HEAVY"]
        assert words in done.stderr


@pytest.mark.real_model
def test_the_default_model_is_known_by_its_weights() -> None:
    assert recall_base(load().identity) == {"name": "smollm2-135m"}
