"""The teacher: what the same model says with the chunk in its context, kept once and learned from at every pass.

Context distillation (arXiv 2412.14964; top-k targets as in 2506.06266). The chunk is read once into the attention cache and shared
by all of its items. The fast weights that are attached at the time belong to the teacher too.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import DynamicCache, PreTrainedModel

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.probe.items import Item, Teacher
from nrem.consolidation.prompts import Prompts
from nrem.consolidation.read.split_model import cache_argument
from nrem.memory.stream.chunk import Chunk


def teacher_fet(items: Sequence[Item], chunk: Chunk, prompts: Prompts, model: PreTrainedModel, cost: CostModel) -> float:
    """What `with_teacher` debits for these items."""
    context = _context(items, chunk, prompts, model)
    return sum(_item_fet(item, len(context), cost, fresh=not number) for number, item in enumerate(items)) if context else 0.0


@torch.no_grad()
def with_teacher(
    items: Sequence[Item], chunk: Chunk, prompts: Prompts, model: PreTrainedModel, top: int, ledger: Ledger, cost: CostModel
) -> list[Item]:
    """The items, each with the teacher's `top` tokens at its answer positions; unchanged where the chunk does not fit in the context."""
    context = _context(items, chunk, prompts, model)
    if not context:
        return list(items)
    device, name = model.device, cache_argument(model)
    taught: list[Item] = []
    for item in items:  # one by one: the prefix is shared by rewinding the cache, so a row costs only its own tokens
        rest = [*item.prompt, *item.answer]
        with ledger.debit("teacher", _item_fet(item, len(context), cost, fresh=not taught)):
            if not taught:
                cache = DynamicCache(config=model.config)
                model(input_ids=torch.tensor([context], device=device), **{name: cache}, use_cache=True, logits_to_keep=1)
            logits = model(
                input_ids=torch.tensor([rest], device=device), **{name: cache}, use_cache=True, logits_to_keep=len(item.answer) + 1
            ).logits[0, :-1]
            cache.crop(-len(rest))
            probs, ids = torch.softmax(logits.float(), -1).topk(min(top, logits.shape[-1]), -1)
        taught.append(replace(item, teacher=Teacher(ids, probs / probs.sum(-1, keepdim=True))))
    return taught


def _context(items: Sequence[Item], chunk: Chunk, prompts: Prompts, model: PreTrainedModel) -> list[int]:
    """The prompt up to the end of the chunk; empty where there is nothing to teach, or no room for it."""
    if not items:
        return []
    context = prompts.question_prefix(prompts.plain_ids(chunk.text.strip() + "\n\n"))
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", 2048)
    return context if len(context) + max(len(item) for item in items) <= limit else []


def _item_fet(item: Item, context: int, cost: CostModel, *, fresh: bool) -> float:
    """One item behind the chunk; the first one pays for reading the chunk."""
    reading = cost.forward(context, context / 2, head_tokens=1) if fresh else 0.0
    return reading + cost.forward(len(item), context + len(item) / 2, head_tokens=len(item.answer))
