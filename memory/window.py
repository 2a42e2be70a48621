"""The window: which chunks are live context, and which are evicted when the next one does not fit. Knows nothing about models.

Hard eviction (DESIGN 4): when a chunk does not fit, every live chunk goes; at most the last `overlap_tokens` of their text are read
again as the start of the next window.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nrem.memory.chunk import Chunk
from nrem.memory.errors import UsageError
from nrem.memory.sentences import sentences


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    chunk_tokens: int = 256
    """Most tokens of a chunk."""
    window_tokens: int = 1024
    """Most tokens of live context; at the boundary the cache is cleared."""
    overlap_tokens: int = 0
    """Tokens of evicted text that are read again as the start of the next window."""
    buffer_tokens: int = 4096
    """Evicted tokens that bring on a sleep."""

    def __post_init__(self) -> None:
        for name, low in (("chunk_tokens", 8), ("window_tokens", 8), ("overlap_tokens", 0), ("buffer_tokens", 8)):
            if getattr(self, name) < low:
                raise UsageError(f"stream.{name}: got {getattr(self, name)}, expected {low} or more")
        if self.chunk_tokens + self.overlap_tokens > self.window_tokens:
            raise UsageError(
                f"stream: chunk_tokens {self.chunk_tokens} + overlap_tokens {self.overlap_tokens} exceed window_tokens "
                f"{self.window_tokens}: raise window_tokens or lower the others"
            )


class Window:
    """The live chunks, oldest first, and the overlap text in front of them."""

    def __init__(self, config: StreamConfig, count_tokens: Callable[[str], int]) -> None:
        self.config = config
        self._count = count_tokens
        self.overlap = ""
        self.chunks: tuple[Chunk, ...] = ()

    @property
    def text(self) -> str:
        return self.overlap + "".join(chunk.text for chunk in self.chunks)

    @property
    def num_tokens(self) -> int:
        return (self._count(self.overlap) if self.overlap else 0) + sum(chunk.num_tokens for chunk in self.chunks)

    def push(self, chunk: Chunk) -> tuple[Chunk, ...]:
        """Take a chunk in; returns the chunks that had to go, oldest first (none, or all that were live)."""
        evicted: tuple[Chunk, ...] = ()
        if self.chunks and self.num_tokens + chunk.num_tokens > self.config.window_tokens:
            evicted = self._clear(keep_overlap=True)
        self.chunks = (*self.chunks, chunk)
        return evicted

    def flush(self) -> tuple[Chunk, ...]:
        """Evict everything; the window is empty."""
        return self._clear(keep_overlap=False)

    def _clear(self, *, keep_overlap: bool) -> tuple[Chunk, ...]:
        evicted, text = self.chunks, self.text
        self.chunks = ()
        self.overlap = self._tail(text) if keep_overlap and self.config.overlap_tokens else ""
        return evicted

    def _tail(self, text: str) -> str:
        """The longest run of whole last sentences within `overlap_tokens`; words where a sentence is too long."""
        budget, keep = self.config.overlap_tokens, len(text)
        for start, _ in reversed(sentences(text)):
            if self._count(text[start:]) > budget:
                break
            keep = start
        if keep == len(text):
            while (space := text.rfind(" ", 0, keep - 1)) >= 0 and self._count(text[space:]) <= budget:
                keep = space
        return text[keep:]
