"""The buffer: evicted chunks that wait for the next sleep. Knows nothing about models."""

from collections.abc import Iterator

from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk


class EvictionBuffer:
    """First in, all out: a sleep takes everything that waits.

    `capacity_tokens` says when it is full, not what it can hold: the chunks of one eviction come together and are all kept.
    """

    def __init__(self, capacity_tokens: int) -> None:
        if capacity_tokens < 1:
            raise UsageError(f"capacity_tokens: got {capacity_tokens}, expected 1 or more")
        self.capacity_tokens = capacity_tokens
        self._chunks: list[Chunk] = []
        self._num_tokens = 0

    def add(self, chunk: Chunk) -> None:
        """Let a chunk wait behind the others."""
        self._chunks.append(chunk)
        self._num_tokens += chunk.num_tokens

    def peek(self) -> tuple[Chunk, ...]:
        """Everything that waits, oldest first; it goes on waiting."""
        return tuple(self._chunks)

    def drain(self) -> tuple[Chunk, ...]:
        """Hand out everything that waits, oldest first, and be empty."""
        chunks = self.peek()
        self._chunks.clear()
        self._num_tokens = 0
        return chunks

    @property
    def num_tokens(self) -> int:
        return self._num_tokens

    @property
    def full(self) -> bool:
        """Whether it is time to sleep."""
        return self.num_tokens >= self.capacity_tokens

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.peek())

    def __repr__(self) -> str:
        return f"EvictionBuffer({len(self)} chunks, {self.num_tokens} of {self.capacity_tokens} tokens)"
