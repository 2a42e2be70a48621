"""The model card of a memory: README.md, made from its record."""

from collections import Counter

from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.record import MemoryRecord

CARD = """---
{base}library_name: peft
pipeline_tag: text-generation
tags: [nrem, lora]
---

# {name}

LoRA fast weights that nrem consolidated from {count} document(s), for {short}.

| document | tokens | chunks | sha256 |
| --- | --: | --: | --- |
{documents}

| sleeps | passes (most per chunk) | answer NLL before | after | FET | seconds |
| --: | --: | --: | --: | --: | --: |
| {sleeps} | {passes} | {before:.2f} | {after:.2f} | {fet:,.0f} | {seconds:,.0f} |

Chunks left as: {exits}. Made {created}, protocol `{protocol}`, seed {seed}.

## Use

```python
from nrem import Memory, Session
print(Session(Memory.load("{name}")).answer("...").answer)
```

PEFT opens the folder as well: `peft.PeftModel.from_pretrained(base_model, "{name}")`.
{further}{weights_from}

## Limits

The adapter holds what was studied, not the text: it can be wrong with confidence, and it fits its own base model only
(weights {weights}). Answer NLL, in nats a token, is of right answers to questions
that were made from the document by rules, not of questions of people.
"""


def model_card(record: MemoryRecord, name: str) -> str:
    """Markdown with the front matter that hubs read."""
    asked = [c for c in record.chunks if c.num_probes]
    exits = Counter(c.exit for c in record.chunks)
    return CARD.format(
        base=f"base_model: {record.base.name}\nbase_model_relation: adapter\n" if record.base.on_hub else "",
        name=name,
        count=len(record.documents),
        short=record.base.short(),
        documents="\n".join(f"| {d.name} | {d.num_tokens:,} | {d.num_chunks} | `{d.sha256[:16]}` |" for d in record.documents),
        sleeps=len(record.sleeps),
        passes=max((s.passes for s in record.sleeps), default=0),
        before=sum(c.nll_before for c in asked) / max(1, len(asked)),
        after=sum(c.nll_after for c in asked) / max(1, len(asked)),
        fet=sum(record.fet.values()),
        seconds=sum(record.seconds.values()),
        exits=", ".join(f"{count} {reason or 'waiting'}" for reason, count in sorted(exits.items())) or "none",
        created=record.created,
        protocol=record.protocol.get("id", ""),
        seed=record.seed,
        weights=record.base.weights_sha256[:12],
        further=_further(record.num_segments, name),
        weights_from=_weights_from(record.base),
    )


def _further(count: int, name: str) -> str:
    """What PEFT does not see of a memory with several adapters, and the way to it."""
    if count == 1:
        return ""
    return (
        f"That is the first of {count} adapters, 0 to {count - 1}; the others lie beside it without what they share with it. "
        f'`Memory.load("{name}").save_adapter(FOLDER, 1)` writes the second one out for PEFT.\n'
    )


def _weights_from(base: BaseIdentity) -> str:
    """Which weights `base_model` must have: said where its name alone does not say it."""
    if not base.on_hub:
        source = f", {base.source}" if base.source else ""
        return f"`base_model` was the folder `{base.name}`{source}: elsewhere, load a copy of it first."
    if base.source:
        return (
            f"It was written on {base.source}, which nrem loads by itself. `adapter_config.json` names `{base.name}`, as the hub has it: "
            "its weights are near these but not equal to them, and answers with them may differ."
        )
    return ""
