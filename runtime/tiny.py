"""A tiny random model with a byte tokenizer, and the little that it needs to read and train: for checks of the machinery that take seconds.

Its answers mean nothing; that they come at all means that every part works here.
"""

import json
from importlib import resources
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nrem.consolidation.train_protocol import TrainConfig
from nrem.runtime.config import Config, load_config
from nrem.runtime.models import Base, wrap
from nrem.runtime.questions import read_questions

SETTINGS = (
    "protocol.name=untrained",
    "stream.chunk_tokens=128",
    "stream.window_tokens=256",
    "fast_weights.rank=4",
    "probes.facts_per_chunk=4",
    "probes.held_out_per_chunk=2",
    "sleep.passes=2",
    "guard.unrelated_tokens=32",
    "answer.max_new_tokens=4",
)


def tiny_base(seed: int = 0) -> Base:
    """Four layers of width 32 in the manner of Llama."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_only = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_only.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return wrap(model, tokenizer, "tiny")


def tiny_config() -> Config:
    """The defaults at the size of the tiny model."""
    return load_config(None, SETTINGS)


def tiny_training(seed: int = 0) -> TrainConfig:
    """A training of a few quick steps."""
    return TrainConfig(
        rank=12,
        reader_rank=4,
        max_passes=2,
        chunks_per_step=2,
        chunks_together=(1, 2),
        questions_per_chunk=2,
        max_chunk_tokens=2048,
        warm_up=2,
        seed=seed,
    )


def tiny_data(folder: Path) -> Path:
    """The sections of the demo document, each with the questions whose answer stands in it, as a training file."""
    configs = resources.files("nrem.configs")
    questions = read_questions(Path(str(configs.joinpath("demo_questions.jsonl"))))
    text = configs.joinpath("demo_document.md").read_text(encoding="utf-8")
    path = folder / "demo.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for section in text.split("\n## ")[1:]:
            title, body = section.split("\n", 1)
            asked = [{"question": q.question, "answers": q.answers} for q in questions if any(a in body for a in q.answers)]
            if asked:
                file.write(json.dumps({"title": title, "document": body.strip()[:1500], "questions": asked}) + "\n")
    return path
