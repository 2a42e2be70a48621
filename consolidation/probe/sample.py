"""Sample: which chunks are asked about where no decision hangs on it, so that looks stay a small part of what a sleep costs.

Follows from the chunks and what a look at them costs, so a sleep that was cut off asks the same. Knows nothing about passes.
"""

from bisect import bisect_right
from collections.abc import Sequence

from nrem.consolidation.probe.probes import thin
from nrem.consolidation.probe.recall import RecallMeter
from nrem.memory.stream.chunk import Chunk

QUESTIONS = 2
"""Of a chunk in a sample: more chunks say more than more questions about one."""


def sample(chunks: Sequence[Chunk], meter: RecallMeter, budget_fet: float) -> list[Chunk]:
    """As many of the chunks, spread evenly, as two looks at them cost no more than this; one at least where anything can be asked."""
    asked = [chunk for chunk in chunks if meter.material.held_out_probes(chunk)]
    count = bisect_right(range(1, len(asked) + 1), budget_fet, key=lambda n: meter.fet(thin(asked, n), looks=2))
    return thin(asked, max(1, count))
