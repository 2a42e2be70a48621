"""Looks: what was seen at the probes, noted with each chunk's way through the sleep. Knows nothing about budgets or passes."""

from collections.abc import Mapping, Sequence

from nrem.consolidation.allocate.allocator import Progress
from nrem.consolidation.probe.recall import Recall
from nrem.memory.stream.chunk import Chunk

UNASKED = Recall(probes=0, recalled=0.0, nll=0.0)
"""What is seen of a chunk that is not asked about."""


def note(progress: Sequence[Progress], found: Mapping[int, Recall]) -> None:
    """A chunk that is not asked about has looks, too, at which nothing is seen."""
    for p in progress:
        seen = found.get(p.chunk, UNASKED)
        p.recall.append(seen.recalled)
        p.nll.append(seen.nll)
        p.looked_at.append(p.passes)


def note_first(progress: Sequence[Progress], found: Mapping[int, Recall]) -> None:
    """The look before the first pass says who is asked about from then on."""
    for p in progress:
        p.num_probes = found.get(p.chunk, UNASKED).probes
    note(progress, found)


def asked(progress: Sequence[Progress], chunks: Sequence[Chunk]) -> list[Chunk]:
    """Those of the chunks that are asked about, as their progress says."""
    wanted = {p.chunk for p in progress if p.num_probes}
    return [c for c in chunks if c.index in wanted]
