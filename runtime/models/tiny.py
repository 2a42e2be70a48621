"""A tiny random model with a byte tokenizer, and a configuration of its size: for checks of the machinery that take seconds.

Its answers mean nothing; that they come at all means that every part works here.
"""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nrem.runtime.config import Config, load_config
from nrem.runtime.models.load import Base, wrap

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
