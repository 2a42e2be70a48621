"""The model card of a memory: README.md, made from its record."""

from collections import Counter

from nrem.memory.saved.record import MemoryRecord

CARD = """---
base_model: {base}
library_name: peft
tags: [nrem, lora]
---

# {name}

LoRA fast weights that nrem consolidated from {count} document(s), for {short}.

| document | tokens | chunks | sha256 |
| --- | --: | --: | --- |
{documents}

| sleeps | passes (most per chunk) | probe recall before | after | FET | seconds |
| --: | --: | --: | --: | --: | --: |
| {sleeps} | {passes} | {before:.2f} | {after:.2f} | {fet:,.0f} | {seconds:,.0f} |

Chunks left as: {exits}. Made {created}, protocol `{protocol}`, seed {seed}.

## Use

```python
from nrem import Memory, Session
print(Session(Memory.load("{name}")).answer("...").answer)
```

PEFT opens the folder as well: `peft.PeftModel.from_pretrained(base_model, "{name}")`.

## Limits

The adapter holds what was studied, not the text: it can be wrong with confidence, and it fits its own base model only
(weights {weights}). Recall is measured on questions made from the document by rules, not on questions of people.
"""


def model_card(record: MemoryRecord, name: str) -> str:
    """Markdown with the front matter that hubs read."""
    asked = [c for c in record.chunks if c.num_probes]
    exits = Counter(c.exit for c in record.chunks)
    return CARD.format(
        base=record.base.name,
        name=name,
        count=len(record.documents),
        short=record.base.short(),
        documents="\n".join(f"| {d.name} | {d.num_tokens:,} | {d.num_chunks} | `{d.sha256[:16]}` |" for d in record.documents),
        sleeps=len(record.sleeps),
        passes=max((s.passes for s in record.sleeps), default=0),
        before=sum(c.recall_before for c in asked) / max(1, len(asked)),
        after=sum(c.recall_after for c in asked) / max(1, len(asked)),
        fet=sum(record.fet.values()),
        seconds=sum(record.seconds.values()),
        exits=", ".join(f"{count} {reason or 'waiting'}" for reason, count in sorted(exits.items())) or "none",
        created=record.created,
        protocol=record.protocol.get("id", ""),
        seed=record.seed,
        weights=record.base.weights_sha256[:12],
    )
