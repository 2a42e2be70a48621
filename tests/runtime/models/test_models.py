"""Models are loaded frozen, are known by their weights, and are refused in a sentence when they cannot be had."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch

from nrem.memory.errors import ModelError, UsageError
from nrem.memory.saved.fingerprint import identify, weights_sha256
from nrem.runtime.models.default import HUB_NAME, cache_folder
from nrem.runtime.models.dtype import Shape, best_dtype
from nrem.runtime.models.load import Base, load, wrap
from tests import cli, tiny


def test_a_local_folder_is_loaded_frozen_with_equal_logits(base: Base, tmp_path: Path) -> None:
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path), dtype="fp32")
    assert torch.equal(tiny.logits_of(loaded), tiny.logits_of(base))
    mine = identify(base.model, loaded.tokenizer, "")
    assert loaded.identity.mismatch(mine) == ""
    assert mine.config_sha256 == base.identity.config_sha256  # though saving has told the configuration its architecture
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.count_tokens("Ünï") == 5


def test_a_model_is_known_by_its_weights_in_any_float_type(base: Base) -> None:
    rounded = copy.deepcopy(base.model).bfloat16()
    back = copy.deepcopy(rounded).float()
    names = [identify(model, base.tokenizer, "any").weights_sha256 for model in (base.model, rounded, back)]
    assert len(set(names)) == 1
    with torch.no_grad():
        next(iter(back.parameters())).view(-1)[0] += 1
    assert weights_sha256(back) != names[0], "remembered, and looked at again after a change"
    assert weights_sha256(back, fresh=True) == weights_sha256(back)


def test_what_differs_is_said() -> None:
    llama, other_llama = tiny.make_base("llama"), tiny.make_base("llama", seed=1)  # saving a shared one would change its configuration
    mine, theirs = llama.identity.weights_sha256[:6], other_llama.identity.weights_sha256[:6]
    assert llama.identity.mismatch(other_llama.identity) == f"weights {theirs} instead of {mine}"
    base = tiny.make_base("llama")
    tokenizer = copy.deepcopy(base.tokenizer)
    tokenizer.chat_template = "{{ messages }}"
    assert re.fullmatch(r"chat template \w{6} instead of none", base.identity.mismatch(identify(base.model, tokenizer, "")))


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("tiny", {"dtype": "float7"}, UsageError, "dtype: got 'float7', expected auto or one of bf16"),
        ("tiny", {"load_in": "2bit"}, UsageError, "load_in: got '2bit', expected 4bit, 8bit or nothing"),
        ("gone.gguf", {}, ModelError, "gone.gguf: no such GGUF file; give the path of an existing one"),
        ("a.gguf", {"load_in": "4bit"}, UsageError, "a.gguf is a GGUF file with its own packing"),
        ("no-such-model", {}, ModelError, "no-such-model: no such folder or file, and not a Hugging Face id (owner/name)"),
        ("nobody/no-such-model", {}, ModelError, "nobody/no-such-model: not found on the hub or the hub cannot be reached"),
        (".", {}, ModelError, "no config.json in this folder; name a transformers model folder"),
    ],
)
def test_what_cannot_be_loaded_is_told(
    name: str, options: dict[str, str], error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=re.escape(words)):
        load(name, **options)  # type: ignore[arg-type]


def test_a_folder_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    """transformers would draw them at random, others at each load."""
    folder = cli.save_model(tmp_path / "short")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": config["num_hidden_layers"] + 1}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"short: its files lack model\.layers\.\d.* and \d more, which would be random"):
        load(str(folder))
    base = tiny.make_base("llama")
    base.model.model.save_pretrained(tmp_path / "headless")
    base.tokenizer.save_pretrained(tmp_path / "headless")
    if not base.model.config.tie_word_embeddings:
        with pytest.raises(ModelError, match=r"its files lack lm_head\.weight"):
            load(str(tmp_path / "headless"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("model.safetensors", b""),
        ("config.json", b"[]"),
        ("tokenizer.json", b"{}"),
        ("config.json", b'{"model_type": "llama", "num_attention_heads": 7, "hidden_size": 24}'),
    ],
)
def test_a_damaged_folder_is_told_in_a_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    folder = cli.save_model(tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match="transformers cannot open this folder") as error:
        load(str(folder))
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    folder = cli.save_model(tmp_path / "model")
    with pytest.raises(ModelError, match="is a file, expected a model's folder"):
        load(folder / "model.safetensors")
    with pytest.raises(ModelError, match="no such folder or file"):
        load("x" * 300)


def test_a_damaged_gguf_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(ModelError, match=r"bad\.gguf: transformers cannot read this GGUF file"):
        load(str(tmp_path / "bad.gguf"))


def test_a_tokenizer_without_an_end_is_refused(llama: Base) -> None:
    tokenizer = tiny.make_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match=r"mine: the tokenizer has no end-of-sequence token; set tokenizer\.eos_token"):
        wrap(llama.model, tokenizer, "mine")


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder().is_relative_to(Path.home()), "the tests' own home"
    monkeypatch.delenv("NREM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "nrem"
    monkeypatch.setenv("NREM_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.real_model
def test_the_default_model_speaks(real_base: Base) -> None:
    assert real_base.identity.name == HUB_NAME
    assert real_base.model.dtype == best_dtype(Shape(576, 1536))
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    text = real_base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = torch.tensor([real_base.tokenizer(text, add_special_tokens=False).input_ids])
    out = real_base.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    assert "Paris" in real_base.tokenizer.decode(out[0, ids.shape[1] :])
