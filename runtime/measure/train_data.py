"""What trainings draw from, and what they hold out of it. Knows nothing about what is trained."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nrem.consolidation.train.data import Passage, PassageFile, read_source
from nrem.memory.errors import UsageError

GIVEN_WEIGHT, PLAIN_WEIGHT = 0.9, 0.1
"""How often a step draws from files with questions, and from plain text."""


def hold_out(
    sources: Sequence[PassageFile], apart: Path | None, passages: int, count_tokens: Callable[[str], int], max_tokens: int
) -> tuple[list[PassageFile], list[Passage]]:
    """Sources to train on, and at most so many passages with questions of documents that they do not hold: of the file `apart`, or else the
    last documents of the first source."""
    if apart:
        found = [p for d in read_source(apart, count_tokens, max_tokens).documents for p in d if p.given]
        return list(sources), found[:passages]
    first = sources[0]
    kept, out = list(first.documents), list[Passage]()
    while len(out) < passages and len(kept) > 1:
        out += [p for p in kept.pop() if p.given]
    if not out:
        raise UsageError(f"{first.name}: not enough documents to hold some out; give more, or a file of their own with --held-out")
    return [replace(first, documents=tuple(kept)), *sources[1:]], out[:passages]


def source_weights(sources: Sequence[PassageFile]) -> list[float]:
    """Files with questions share most of the draws in proportion to the root of their size, so that small kinds are not drowned; plain text
    shares the rest."""
    plain = [s for s in sources if s.plain]
    out = []
    for s in sources:
        group = plain if s.plain else [t for t in sources if not t.plain]
        share = 1.0 if len(group) == len(sources) else PLAIN_WEIGHT if s.plain else GIVEN_WEIGHT
        out.append(share * s.num_passages**0.5 / sum(t.num_passages**0.5 for t in group))
    return out
