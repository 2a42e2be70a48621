"""The card of a trained protocol: README.md, made from what `protocol.json` holds."""

from collections.abc import Mapping
from typing import Any

CARD = """---
base_model: {base}
tags: [nrem]
---

# {id}

A protocol of nrem for {base} (weights {weights}): how this model writes what it reads into LoRA fast weights, and
how it is asked. Trained once, through its passes; {passes} passes were trained.

| rule | rank | reader rank | scribe rank | minutes | steps | passages read |
| --- | --: | --: | --: | --: | --: | --: |
| {rule} | {rank} | {reader_rank} | {scribe_rank} | {minutes:.0f} | {steps} | {passages} |

Trained on: {data}. {note}

## Held-out passages

Answer NLL, nats per token, of passages that were never trained on: with nothing written (the reader is on), after so many
passes over the right passage, over another one, and with the passage in the prompt. Drift is the KL divergence, nats per token,
from the base model's next token on text that no memory is about.

| passes | right passage | wrong passage | drift |
| --: | --: | --: | --: |
{table}

Floor {floor}, in the prompt {context}.
"""


def protocol_card(values: Mapping[str, Any]) -> str:
    """Markdown with the front matter that hubs read."""
    about = values["about"]
    held_out, trained = about.get("held_out", {}), about.get("trained", {})
    right, wrong, drift = (held_out.get(kind, {}) for kind in ("right", "wrong", "drift"))
    return CARD.format(
        base=values["base"]["name"],
        weights=values["base"]["weights_sha256"][:12],
        passes=values["trained_passes"],
        minutes=trained.get("seconds", 0) / 60,
        steps=trained.get("steps", 0),
        passages=trained.get("passages", 0),
        data=", ".join(about.get("data", [])) or "unknown data",
        note=about.get("note", ""),
        table="\n".join(f"| {level} | {right[level]:.2f} | {wrong[level]:.2f} | {_figure(drift.get(level))} |" for level in right),
        floor=_figure(held_out.get("floor")),
        context=_figure(held_out.get("context")),
        **{key: values[key] for key in ("id", "rule", "rank", "reader_rank", "scribe_rank")},
    )


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"
