"""Eviction: what leaves the window goes to disk, is dreamt about on the way, and waits in the buffer for a sleep.

    window -> chunk -> dreamer: the chunk with questions and answers -> evicted text, record, buffer

Knows nothing about documents, sleeps or answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.dream.voice import TEXTS
from nrem.consolidation.events import ChunkDreamt, ChunksEvicted, Listener
from nrem.memory.errors import SleepError
from nrem.memory.memory import Memory
from nrem.memory.stream.buffer import EvictionBuffer
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.turns import in_turn
from nrem.runtime.models.load import Base


@dataclass
class Eviction:
    """Of one session; `dreamer` is None where nothing is dreamt."""

    base: Base
    memory: Memory
    buffer: EvictionBuffer
    dreamer: Dreamer | None
    listener: Listener

    def take(self, chunks: Sequence[Chunk]) -> None:
        """These chunks, in order; what an earlier session evicted is recognised, and waits only if it was not slept on.

        A chunk that says nothing goes to disk only. Raises `SleepError` where a resumed document has changed.
        """
        for start in range(0, len(chunks), TEXTS):  # what is cut off has lost the dreams of so many at most
            self._take(chunks[start : start + TEXTS])
        if chunks:
            self.listener(ChunksEvicted(chunks=tuple(chunks), buffer_tokens=self.buffer.num_tokens))

    def _take(self, chunks: Sequence[Chunk]) -> None:
        text, records = self.memory.text, self.memory.record.chunks
        assert text is not None
        dreamt = self._dreamt([chunk for chunk in chunks if chunk.index >= len(text)])
        for chunk in chunks:
            if chunk.index >= len(text):
                chunk = dreamt[chunk.index]
                text.append(chunk)
            elif replace(known := text.get(chunk.index), dreamt=()) != chunk:
                raise SleepError(
                    f"{chunk.document}: chunk {chunk.index} differs from the one that the unfinished sleep read; give the same document, "
                    "or start again with --force"
                )
            else:
                chunk = known
            records[chunk.index].dreamt = len(chunk.dreamt)
            if records[chunk.index].sleep < 0 and not chunk.says_nothing:
                self.buffer.add(chunk)

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
