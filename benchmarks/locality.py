"""Locality: does a memory change how the model reads text that it is not about?

    python -m benchmarks.locality --data FILE.jsonl --text OTHER.txt [--limit N] [--tokens T] [--json]

Sleeps on each document, attaches what it wrote, and reads the other text in windows: perplexity relative to the bare base's, for the
protocol's reader alone (nothing written) and for every memory; KL(base || attached) beside it.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from benchmarks.harness import common
from nrem.memory.errors import MissingFileError, UsageError
from nrem.runtime.config import load_config
from nrem.runtime.measure.questions import read_documents
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session

WINDOW = 256
"""Tokens that are read at once."""


class Drift(NamedTuple):
    """How far attached weights move the reading of a text."""

    ratio: float
    """Perplexity relative to the base's."""
    kl: float
    """KL(base || attached), nats per token."""


class OtherText:
    """A text as the bare base reads it."""

    def __init__(self, base: Base, text: str, tokens: int) -> None:
        ids = base.tokenizer(text, add_special_tokens=False).input_ids[:tokens]
        self.base = base
        self.windows = [torch.tensor([ids[i : i + WINDOW]]) for i in range(0, len(ids) - WINDOW + 1, WINDOW)]
        if not self.windows:
            raise UsageError(f"--text: got {len(ids)} tokens, expected {WINDOW} or more")
        self.plain = list(self._read())

    def drift(self, attached: AbstractContextManager[Any]) -> Drift:
        """The same text with something attached."""
        with attached:
            now = list(self._read())
        losses = [
            (float((p.gather(1, x) - q.gather(1, x)).mean()), float((p.exp() * (p - q)).sum(-1).mean()))
            for (p, x), (q, _) in zip(self.plain, now, strict=True)
        ]
        return Drift(float(np.exp(fmean(loss for loss, _ in losses))), fmean(kl for _, kl in losses))

    @torch.no_grad()
    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Log-probabilities and the tokens that came, window by window."""
        for ids in self.windows:
            logits = self.base.model(input_ids=ids.to(self.base.model.device), use_cache=False).logits[0, :-1]
            yield torch.log_softmax(logits.float(), -1), ids[0, 1:, None].to(logits.device)


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("locality", "Perplexity on other text with a memory attached, relative to the base's.")
    parser.add_argument("--data", required=True, help="JSON lines: documents to sleep on")
    parser.add_argument("--text", required=True, type=Path, help="plain text that they are not about")
    parser.add_argument("--limit", type=int, default=8, metavar="N", help="only the first N documents (8)")
    parser.add_argument("--tokens", type=int, default=2048, metavar="T", help="how much of the text is read (2048)")
    args = parser.parse_args(arguments)
    if not args.text.is_file():
        raise MissingFileError(f"--text {args.text}: no such file; give plain text")
    config, documents = load_config(args.config, args.set), read_documents(args.data)[: args.limit]
    if not args.skip_tests:
        common.require_green("tests/consolidation/test_guard.py")
    base = load_base(config)
    other = OtherText(base, args.text.read_text(encoding="utf-8"), args.tokens)
    reader = other.drift(make_fast_weights(base, config, make_protocol(base, config)).attached(base.model))
    found = []
    for document in documents:
        with common.stage(document.id):
            memory = Session(base=base, config=config).stream(Document.from_text(document.text, document.id, document.title))
            found.append(other.drift(memory.attached(base.model)))
    table = Table("attached", "perplexity, relative", "worst", "KL, nats a token", title=f"{len(found)} memories, {args.text.name}")
    table.add_row("reader, nothing written", f"{reader.ratio:.3f}", "", f"{reader.kl:.4f}")
    ratios, kls = [d.ratio for d in found], [d.kl for d in found]
    table.add_row("memory", f"{fmean(ratios):.3f}", f"{max(ratios):.3f}", f"{fmean(kls):.4f}")
    common.show(table, to_stderr=args.json)
    result = {
        "benchmark": "locality",
        "data": Path(args.data).name,
        "text": args.text.name,
        "tokens": len(other.windows) * WINDOW,
        "reader": reader._asdict(),
        "memory": {"ratio": fmean(ratios), "worst_ratio": max(ratios), "kl": fmean(kls), "n": len(found)},
        **common.environment(base),
    }
    common.finish("locality", result, {"ratios": ratios, "kls": kls}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
