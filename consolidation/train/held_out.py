"""How a protocol does on passages that it was not trained on, in answer NLL. Knows nothing about how it was trained."""

from collections.abc import Sequence
from typing import Any

import torch

from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.memory.stream.chunk import QuestionAnswer


@torch.no_grad()
def evaluate_protocol(
    bench: Bench,
    passages: Sequence[Passage],
    levels: Sequence[int],
    ordinary: Sequence[Sequence[int]],
    *,
    batch: int = 8,
    context: bool = False,
) -> dict[str, Any]:
    """Held-out answer NLL, mean over questions: no pass (`floor`), right and wrong memory at each level, the passage in the prompt.

    `drift` is KL(base || memory) on the rows of `ordinary` text, nats per token; rows are of equal length.
    """
    out: dict[str, Any] = {"floor": 0.0, **{kind: dict.fromkeys(levels, 0.0) for kind in ("right", "wrong", "drift")}}
    if context:
        out["context"] = 0.0
    total = 0
    for start in range(0, len(passages), batch):
        part = list(passages[start : start + batch])
        asked = [_exactly(p.given, 4) for p in part]
        flat: list[QuestionAnswer] = [q for questions in asked for q in questions]
        other = [q for questions in [*asked[1:], asked[0]] for q in questions]
        total += len(flat)
        out["floor"] += float(bench.answer_nll(flat, None).sum())
        if context:
            out["context"] += sum(float(bench.answer_nll(q, None, [p] * len(q)).sum()) for p, q in zip(part, asked, strict=True))
        for level in levels:
            fast = bench.write([[p] for p in part], level)
            out["right"][level] += float(bench.answer_nll(flat, fast).sum())
            out["wrong"][level] += float(bench.answer_nll(other, fast).sum())
            rows = [row for _ in part for row in ordinary]  # memory-major
            out["drift"][level] += len(flat) * float(bench.divergence(rows, fast))
    return {key: {k: v / total for k, v in value.items()} if isinstance(value, dict) else value / total for key, value in out.items()}


def _exactly(questions: Sequence[QuestionAnswer], count: int) -> list[QuestionAnswer]:
    """So many questions, repeating where there are fewer: groups of a batch must be of equal size."""
    return [questions[i % len(questions)] for i in range(count)]
