"""Tiny models, one per family, built from a configuration with seeded weights, and their byte tokenizer. No files, no network."""

from collections.abc import Callable
from dataclasses import replace

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.learned import Sizes
from nrem.consolidation.write.rules import trainable
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.weights.config import FastWeightsConfig
from nrem.memory.weights.fast_weights import FastWeights, first_layer
from nrem.memory.weights.layers import find_targets
from nrem.runtime.config import Config, load_config
from nrem.runtime.models.load import Base, wrap

VOCABULARY = 258
STORY = (
    "Maren Tull kept the Orrin lighthouse from 1843 to 1871. The lamp burned 60 litres of rapeseed oil a night. "
    "Her brother Aldo sailed the supply boat from Wexley on Tuesdays.\n\n"
    "The harbour froze on 12 January 1858, and the boat was lost. Sixteen men walked home over the ice. "
    "The parish of Wexley paid 340 crowns for a new one.\n\n"
    "In 1871 the lamp was sold to Bertram Frost, a glass maker of Hallow. He used its lens for 20 years as a shop window."
)
"""Three paragraphs with facts of every kind; a byte is a token, so 450 tokens or so."""

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
ENDS = {"bos_token_id": 256, "eos_token_id": 257}
GROUPED = {**ENDS, "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 2048, "tie_word_embeddings": True}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"] * 2, "sliding_window": 512}
FAMILIES: dict[str, Callable[[], tuple[type[PreTrainedModel], PreTrainedConfig]]] = {
    "llama": lambda: (LlamaForCausalLM, LlamaConfig(**SIZES, **GROUPED)),
    "qwen2": lambda: (Qwen2ForCausalLM, Qwen2Config(**SIZES, **GROUPED)),
    "qwen3": lambda: (Qwen3ForCausalLM, Qwen3Config(**SIZES, **GROUPED, head_dim=8)),
    "gemma3": lambda: (Gemma3ForCausalLM, Gemma3TextConfig(**SIZES, **GROUPED, **SLIDING, head_dim=8)),
    "gpt2": lambda: (GPT2LMHeadModel, GPT2Config(**ENDS, vocab_size=VOCABULARY, n_positions=2048, n_embd=32, n_layer=4, n_head=4)),
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte is a token; two more begin and end a sequence."""
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(characters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", clean_up_tokenization_spaces=False)


def make_base(family: str, seed: int = 0, scale: float = 8.0) -> Base:
    """A model of a family, weights larger than at initialisation: its logits then depend on what it reads."""
    kind, config = FAMILIES[family]()
    config.pad_token_id = None
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return wrap(model, make_tokenizer(), f"tiny/{family}")


def make_protocol(
    base: Base, rule: str, rank: int = 6, reader_rank: int = 2, seed: int = 0, scribe_rank: int = 0, *, reads_everywhere: bool = False
) -> Protocol:
    """A protocol of a rule with random parameters: a trained one to everything but the quality of its answers."""
    first = first_layer(base.model, "upper-half")
    shapes = {name: (d_in, d_out) for name, (d_in, d_out, _) in find_targets(base.model, "auto", first).shapes.items()}
    generator, apart, later = (torch.Generator().manual_seed(seed + number) for number in range(3))
    d_model = base.model.get_output_embeddings().weight.shape[1]
    linear = find_targets(base.model, "", 0).shapes if reads_everywhere else {}
    readers = {name: (d_in, d_out) for name, (d_in, d_out, _) in linear.items() if name not in shapes}
    sizes = Sizes(
        modules=shapes, d_model=d_model, rank=rank, reader_rank=reader_rank, max_passes=2, readers=readers, scribe_rank=scribe_rank
    )
    learned = trainable()[rule].create(sizes, generator)
    with torch.no_grad():
        for name, parameter in learned.named_parameters():
            drawn_by = later if name.startswith("_scribe.") else apart if ".asked." in name else generator
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=drawn_by))
        learned.settle({name: torch.randn(32, site.d_in, generator=generator) for name, site in learned.items()})
    learned.requires_grad_(False)
    return Protocol(base.tokenizer, id="tiny", rule=rule, template="plain", trained_passes=2, learned=learned)


def make_ridge_protocol(base: Base) -> Protocol:
    return make_protocol(base, "ridge", rank=34, scribe_rank=2)


def make_keyed_protocol(base: Base) -> Protocol:
    return make_protocol(base, "keyed")


def make_delta_protocol(base: Base) -> Protocol:
    return make_protocol(base, "delta")


def make_descent_protocol(base: Base) -> Protocol:
    return make_protocol(base, "gradient")


def make_config(*settings: str) -> Config:
    """The defaults at the size of a tiny model: chunks of two sentences or three, a window of two chunks, a sleep after four."""
    small = ("stream.chunk_tokens=128", "stream.window_tokens=256", "stream.buffer_tokens=512", "fast_weights.rank=4", "sleep.passes=2")
    quick = (
        "sleep.look_every=1",
        "probes.facts_per_chunk=4",
        "probes.held_out_per_chunk=2",
        "probes.question_tokens=400",
        "probes.share=1",
    )
    own = ("guard.unrelated_tokens=32", "protocol.name=untrained", "answer.max_new_tokens=6")
    config = load_config(None, (*small, *quick, *own, *settings))
    mine = {text.partition("=")[0] for text in settings}
    return replace(config, given={key: where for key, where in config.given.items() if key in mine})  # the rest is no user's wish


def make_chunks(base: Base, text: str = STORY, max_tokens: int = 128, title: str = "Orrin") -> list[Chunk]:
    """The chunks of a text for this base."""
    return list(cut_chunks([text], count_tokens=base.count_tokens, max_tokens=max_tokens, document="d", title=title))


def make_fast_weights(base: Base, rank: int = 4, scale: float = 0.0, seed: int = 0) -> FastWeights:
    """Fast weights at their start, or with a B of this scale."""
    generator = torch.Generator().manual_seed(seed)
    fast = FastWeights.create(base.model, FastWeightsConfig(rank=rank), generator)
    for factors in fast.factors.values():
        factors.B.add_(scale * torch.randn(factors.B.shape, generator=generator))
    return fast


@torch.no_grad()
def logits_of(base: Base, text: str = STORY[:200]) -> torch.Tensor:
    """What the model says after every token of a text, with whatever is attached."""
    ids = torch.tensor([base.tokenizer(text, add_special_tokens=False).input_ids])
    logits: torch.Tensor = base.model(input_ids=ids, use_cache=False).logits[0]
    return logits
