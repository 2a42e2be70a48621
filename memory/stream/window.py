"""The window: which chunks are live context, and which are evicted when the next one does not fit. Knows nothing about models.

Hard eviction: when a chunk does not fit, every live chunk goes; at most the last `overlap_tokens` of their text are read
again as the start of the next window.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk
from nrem.memory.stream.sentences import sentences


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How a document is read; all sizes in tokens."""

    chunk_tokens: int = 256
    """Most tokens of a chunk."""
    window_tokens: int = 1024
    """Most tokens of live context; at the boundary the cache is cleared."""
    overlap_tokens: int = 0
    """Most tokens of evicted text that are read again as the start of the next window."""
    buffer_tokens: int = 4096
    """Evicted tokens that bring on a sleep."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "overlap_tokens" else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UsageError(f"stream.{field.name}: got {value!r}, expected a whole number, {least} or more")
        if self.chunk_tokens > self.window_tokens:
            raise UsageError(
                f"stream.chunk_tokens: got {self.chunk_tokens}, expected at most stream.window_tokens, {self.window_tokens}: "
                "lower the one or raise the other"
            )
        if self.overlap_tokens > self.window_tokens - self.chunk_tokens:
            raise UsageError(
                f"stream.overlap_tokens: got {self.overlap_tokens}, expected at most {self.window_tokens - self.chunk_tokens}, what "
                f"stream.window_tokens {self.window_tokens} leaves beside a chunk of {self.chunk_tokens}: lower it or raise the window"
            )

    def within(self, most: int) -> Self:
        """The same with no more live context than so many tokens, which a model can read at once."""
        if self.window_tokens <= most:
            return self
        if self.chunk_tokens > most:
            raise UsageError(
                f"stream.chunk_tokens: got {self.chunk_tokens}, expected at most {most}, all that this model can read; lower it"
            )
        return replace(self, window_tokens=most, overlap_tokens=min(self.overlap_tokens, most - self.chunk_tokens))


class Window:
    """The live chunks, oldest first, and the overlap text in front of them; together never more than `window_tokens`."""

    def __init__(self, config: StreamConfig, count_tokens: Callable[[str], int]) -> None:
        self.config = config
        self.chunks: tuple[Chunk, ...] = ()
        self.overlap = ""
        self._count = count_tokens
        self._overlap_tokens = 0

    @property
    def text(self) -> str:
        """The live context: the overlap, then the live chunks."""
        return self.overlap + "".join(chunk.text for chunk in self.chunks)

    @property
    def num_tokens(self) -> int:
        """Tokens of the overlap and of each live chunk, added up."""
        return self._overlap_tokens + sum(chunk.num_tokens for chunk in self.chunks)

    def push(self, chunk: Chunk) -> tuple[Chunk, ...]:
        """Take a chunk in; returns the chunks that had to go, oldest first (none, or all that were live).

        Raises `UsageError` when the chunk alone is larger than the window.
        """
        room = self.config.window_tokens - chunk.num_tokens
        if room < 0:
            raise UsageError(
                f"{chunk.document}: chunk {chunk.index} has {chunk.num_tokens} tokens, expected at most stream.window_tokens, "
                f"{self.config.window_tokens}: cut smaller chunks or raise the window"
            )
        evicted: tuple[Chunk, ...] = ()
        if self.num_tokens > room:
            evicted, text = self.chunks, self.text
            self.chunks = ()
            self._set_overlap(self._tail(text, min(self.config.overlap_tokens, room)))
        self.chunks = (*self.chunks, chunk)
        return evicted

    def flush(self) -> tuple[Chunk, ...]:
        """Evict everything, oldest first; the window is empty, without overlap."""
        evicted, self.chunks = self.chunks, ()
        self._set_overlap("")
        return evicted

    def _set_overlap(self, text: str) -> None:
        self.overlap = text
        self._overlap_tokens = self._count(text) if text else 0

    def _tail(self, text: str, max_tokens: int) -> str:
        """The longest run of whole last sentences within `max_tokens`; of whole last words where not even one sentence fits."""
        if not max_tokens:
            return ""
        for starts in ([start for start, _ in sentences(text)], [word.start() for word in re.finditer(r"\S+", text)]):
            keep = len(text)
            while starts and self._count(text[starts[-1] :]) <= max_tokens:
                keep = starts.pop()
            if keep < len(text):
                return text[keep:]
        return ""
