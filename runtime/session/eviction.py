"""Eviction: what leaves the window goes to disk, is dreamt about on the way, and waits in the buffer for a sleep.

    window -> chunk -> dreamer: the chunk with questions and answers -> evicted text, record, buffer

Knows nothing about documents, sleeps or answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.dream.voice import TEXTS
from nrem.consolidation.events import ChunkDreamt, ChunksEvicted, Listener
from nrem.memory.memory import Memory
from nrem.memory.stream.buffer import EvictionBuffer
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.turns import in_turn
from nrem.runtime.models.load import Base
from nrem.runtime.session.resume import Unfinished


@dataclass
class Eviction:
    """Of one session; `dreamer` is None where nothing is dreamt."""

    base: Base
    memory: Memory
    buffer: EvictionBuffer
    dreamer: Dreamer | None
    listener: Listener
    unfinished: Unfinished

    def take(self, chunks: Sequence[Chunk]) -> None:
        """These chunks, in order; what was evicted before is recognised, and waits only if it was not slept on and does not wait already.

        A chunk that says nothing goes to disk only. Raises `SleepError` where a resumed document has changed.
        """
        for start in range(0, len(chunks), TEXTS):  # as many as are dreamt about at once
            self._take(chunks[start : start + TEXTS], chunks[-1].index + 1)
        if chunks:
            self.listener(ChunksEvicted(chunks=tuple(chunks), buffer_tokens=self.buffer.num_tokens))

    def _take(self, chunks: Sequence[Chunk], left: int) -> None:
        text, records = self.memory.text, self.memory.record.chunks
        assert text is not None
        new = [chunk for chunk in chunks if chunk.index >= len(text)]
        dreamt, waiting = self._dreamt(new), {chunk.index for chunk in self.buffer}
        for chunk in chunks:
            if chunk.index >= len(text):
                chunk = dreamt[chunk.index]
                text.append(chunk)
            elif replace(known := text.get(chunk.index), dreamt=()) != chunk:
                raise self.unfinished.refused(f"{chunk.document}: chunk {chunk.index} differs from the one that", "read")
            else:
                chunk = known
            records[chunk.index].dreamt = len(chunk.dreamt)
            if records[chunk.index].sleep < 0 and not chunk.says_nothing and chunk.index not in waiting:
                self.buffer.add(chunk)
        if new and self.dreamer is not None:
            self.unfinished.after_dreams(left)

    @in_turn
    def _dreamt(self, chunks: Sequence[Chunk]) -> dict[int, Chunk]:
        """The chunks, by index, with what the model asks itself about them where there is something to ask, and a dreamer."""
        out = {chunk.index: chunk for chunk in chunks}
        if self.dreamer is None:
            return out
        for chunk in self.dreamer.dream([chunk for chunk in chunks if not chunk.says_nothing]):
            out[chunk.index] = chunk
            self.listener(ChunkDreamt(chunk=chunk))
        return out
