"""The speed of a pass of one write rule, in turn with the plain way on the same tokens, and the machine's rate of matrix products.

A pass is charged its share of what a sleep computes once for all of its passes (the activations below the fast weights).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from benchmarks.speed.plain import PlainWay, TokenRow
from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.study import StudyRule
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.layers import decoder_layers
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper

GEMM_TOKENS = 2048


@dataclass
class PassSpeed:
    """What the repetitions took, ours and the plain way's, on the same rows."""

    chunks: int
    passes: int
    """Passes of a sleep, over which the preparation is spread."""
    preparations: int
    """How often a sleep prepares: once, or once for every phrasing."""
    tokens: list[int] = field(default_factory=list)
    write_seconds: list[float] = field(default_factory=list)
    preparation_seconds: list[float] = field(default_factory=list)
    plain_seconds: list[float] = field(default_factory=list)
    fet: list[float] = field(default_factory=list)
    flops_per_fet: float = 0.0

    def to_dict(self, gemm_rate: float) -> dict[str, Any]:
        share = min(1.0, self.preparations / self.passes)
        took = [w + share * p for w, p in zip(self.write_seconds, self.preparation_seconds, strict=True)]
        ours = [tokens / s for tokens, s in zip(self.tokens, took, strict=True)]
        plain = [tokens / s for tokens, s in zip(self.tokens, self.plain_seconds, strict=True)]
        rate = median(f * self.flops_per_fet / s for f, s in zip(self.fet, self.write_seconds, strict=True))
        return {
            "pass_speedup": median(a / b for a, b in zip(ours, plain, strict=True)),
            "tokens_per_second": median(ours),
            "plain_tokens_per_second": median(plain),
            "gemm_share": rate / gemm_rate,
            "flops_per_second": rate,
            "tokens": median(self.tokens),
            "chunks": self.chunks,
            "seconds_a_chunk": median(took) / self.chunks,
            "fet_a_chunk": median(self.fet) / self.chunks,
            "pass_seconds": self.write_seconds,
            "plain_seconds": self.plain_seconds,
            "preparation_seconds": self.preparation_seconds,
            "passes": self.passes,
        }


def measure_rule(base: Base, config: Config, protocol: Protocol, chunks: Sequence[Chunk], repeats: int) -> PassSpeed:
    """Passes of the protocol's rule over the chunks, in turn with the plain way; the first of each is not counted."""
    ledger, fast = Ledger(), make_fast_weights(base, config, protocol)
    sleeper = make_sleeper(base, config, protocol, fast, ledger, ignore)
    rule, cost, plain = sleeper.rule, CostModel.of(base.model), PlainWay(base, fast)
    gradient = isinstance(rule, StudyRule)
    passes = sleeper.config.passes
    assert passes != "auto", "the sleeper's configuration is resolved"
    phrasings = sleeper.meter.material.num_phrasings(config.study.objective) if gradient else 1
    speed = PassSpeed(len(chunks), max(1, passes), phrasings, flops_per_fet=cost.flops_per_fet)

    def rows(phrasing: int) -> tuple[list[TokenRow], int]:
        """What a pass reads, as a user would feed it, and how many rows make a step."""
        if not gradient:
            return [TokenRow(protocol.chunk_ids(c.title, c.text), 0) for c in chunks], len(chunks)
        items = [item for c in chunks for item in sleeper.meter.material.study(c, phrasing, config.study.objective)]
        whole = [[*item.prefix, *item.prompt] for item in items]
        return [TokenRow([*p, *i.answer], len(p)) for p, i in zip(whole, items, strict=True)], config.study.items_per_write

    with fast.attached(base.model):
        for number in range(repeats + 1):
            rule.begin(chunks, [])  # anew, so that every repetition sees what the preparation takes
            before, fet = ledger.seconds.get("preparation", 0.0), ledger.fet.get("passes", 0.0)
            seconds, report = _timed(base, lambda: rule.write([c.index for c in chunks]))
            prepared = ledger.seconds.get("preparation", 0.0) - before
            texts, rows_per_step = rows(number % speed.preparations)
            plain_seconds, _ = _timed(base, lambda texts=texts, n=rows_per_step: plain.learn(texts, n))  # type: ignore[misc]
            if number:
                speed.preparation_seconds.append(prepared)
                speed.tokens.append(report.tokens)
                speed.write_seconds.append(seconds - prepared)
                speed.plain_seconds.append(plain_seconds)
                speed.fet.append(ledger.fet["passes"] - fet)
            rule.end()
    return speed


@torch.no_grad()
def gemm_rate(base: Base, repeats: int = 5) -> float:
    """FLOPs a second of bare matrix products at the model's own shapes and dtype: one decoder layer's, times the layers, and the head's."""
    layers = decoder_layers(base.model)
    shapes = [(shape, len(layers)) for module in layers[0].modules() if (shape := _shape(module))]
    shapes += [(shape, 1) for shape in [_shape(base.model.get_output_embeddings())] if shape]
    flops = seconds = 0.0
    for (d_in, d_out), count in shapes:
        x, w = (torch.randn(rows, d_in, device=base.model.device).to(base.model.dtype) for rows in (GEMM_TOKENS, d_out))
        torch.nn.functional.linear(x, w)
        times = [_timed(base, lambda x=x, w=w: torch.nn.functional.linear(x, w))[0] for _ in range(repeats)]  # type: ignore[misc]
        flops += count * 2 * GEMM_TOKENS * d_in * d_out
        seconds += count * median(times)
    return flops / seconds


def _shape(module: Any) -> tuple[int, int] | None:
    """(d_in, d_out) of a linear module, packed or not, GPT-2's Conv1D among them; None for any other."""
    if hasattr(module, "in_features"):
        return int(module.in_features), int(module.out_features)
    return (int(module.nx), int(module.nf)) if hasattr(module, "nf") else None


def _timed(base: Base, work: Callable[[], Any]) -> tuple[float, Any]:
    cuda = base.model.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    out = work()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started, out
