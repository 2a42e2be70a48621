"""A GGUF file is unpacked once, kept by its content, and known by no name that it does not state."""

import json
import os
import shutil
from pathlib import Path

import gguf
import pytest
import torch

from nrem.memory.errors import ModelError
from nrem.runtime.models.cache import cache_folder
from nrem.runtime.models.gguf import hub_name, unpacked
from nrem.runtime.models.load import load
from tests import tiny


def write_gguf(path: Path, page: str = "") -> Path:
    """A tiny Llama as a GGUF file of float32 tensors, with a byte tokenizer."""
    model, config = tiny.make_base("llama").model, tiny.make_base("llama").model.config
    vocabulary = tiny.make_tokenizer().get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    tokens[tokens.index("Ń")] = "ab"  # the reader wants a merge, and what it gives
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny Llama")
    if page:
        writer.add_source_repo_url(page)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight":
            stem, suffix = name.rsplit(".", 1)
            writer.add_tensor(f"{names.get_name(stem)}.{suffix}", tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_it_is_unpacked_once_and_kept_by_content(tmp_path: Path) -> None:
    first = unpacked(write_gguf(tmp_path / "tiny.gguf"))
    assert first.folder.is_relative_to(cache_folder())
    assert first.folder.name == "tiny", "what messages call it"
    weights = first.folder / "model.safetensors"
    made = weights.stat().st_mtime_ns
    shutil.copyfile(tmp_path / "tiny.gguf", tmp_path / "other.gguf")
    assert unpacked(tmp_path / "other.gguf").folder == first.folder
    assert weights.stat().st_mtime_ns == made
    write_gguf(tmp_path / "tiny.gguf", "https://huggingface.co/some/Tiny-Llama")
    second = unpacked(tmp_path / "tiny.gguf")
    assert second.folder != first.folder
    assert (first.hub_name, second.hub_name) == ("", "some/Tiny-Llama")


def test_it_is_hashed_again_only_when_it_changed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    unpacked(path)
    book = cache_folder() / "gguf" / "hashes.json"
    known = json.loads(book.read_text(encoding="utf-8"))
    known[str(path)]["sha256"] = "0" * 64  # a wrong one, which is believed as long as the file looks the same
    kept = cache_folder() / "gguf" / ("0" * 16) / "believed"
    shutil.copytree(unpacked(path).folder, kept)
    book.write_text(json.dumps(known), encoding="utf-8")
    assert unpacked(path).folder == kept
    os.utime(path)
    assert unpacked(path).folder != kept
    book.write_text("[]", encoding="utf-8")
    assert unpacked(path).folder != kept


def test_a_loaded_one_is_the_same_model_in_every_float_type(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    bases = [load(str(path), dtype=dtype) for dtype in ("fp32", "bf16", "fp16")]
    assert [base.model.dtype for base in bases] == [torch.float32, torch.bfloat16, torch.float16]
    assert [base.identity.dtype for base in bases] == ["float32", "bfloat16", "float16"]
    assert bases[0].identity.mismatch(bases[1].identity) == bases[0].identity.mismatch(bases[2].identity) == ""
    assert bases[0].identity.name == str(unpacked(path).folder)
    assert "the GGUF file tiny.gguf (sha256 " in bases[0].identity.source


def test_what_cannot_be_unpacked_is_told_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF but not really")
    for _ in range(2):
        with pytest.raises(ModelError, match=r"bad\.gguf: transformers cannot read this GGUF file"):
            unpacked(tmp_path / "bad.gguf")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"general.name": "Smollm2 135M 8k Lc100K Mix1 Ep2", "general.organization": "HuggingFaceTB"}, ""),
        ({"general.source.huggingface.repository": "some/Tiny-1B"}, "some/Tiny-1B"),
        ({"general.source.repo_url": "https://huggingface.co/some/Tiny-1B/"}, "some/Tiny-1B"),
        ({"general.repo_url": "https://example.org/some/Tiny-1B"}, ""),
        ({"general.name": "Tiny 1B Chat", "general.base_model.0.repo_url": "https://huggingface.co/some/Tiny-1B"}, ""),
        ({"general.name": "Tiny 1B", "general.base_model.0.repo_url": "https://huggingface.co/some/Tiny-1B"}, "some/Tiny-1B"),
    ],
)
def test_only_a_page_of_the_model_itself_is_a_name(fields: dict[str, str], name: str) -> None:
    assert hub_name(fields) == name
