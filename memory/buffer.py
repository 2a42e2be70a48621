"""The buffer: evicted chunks that wait for the next sleep. Knows nothing about models."""

from collections.abc import Iterator

from nrem.memory.chunk import Chunk


class EvictionBuffer:
    """First in, all out: a sleep takes everything that waits."""

    def __init__(self, capacity_tokens: int) -> None:
        self.capacity_tokens = capacity_tokens
        self._chunks: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)

    def drain(self) -> tuple[Chunk, ...]:
        """Hand out everything that waits, oldest first, and be empty."""
        chunks, self._chunks = tuple(self._chunks), []
        return chunks

    @property
    def num_tokens(self) -> int:
        return sum(chunk.num_tokens for chunk in self._chunks)

    @property
    def full(self) -> bool:
        """Whether it is time to sleep."""
        return self.num_tokens >= self.capacity_tokens

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._chunks)
