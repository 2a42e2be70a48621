"""What happens while a document is read and slept on, told to whoever listens: the progress bar, the journal and the tests alike."""

from collections.abc import Callable
from dataclasses import dataclass

from nrem.memory.saved.record import ChunkRecord, MemoryRecord, SleepRecord
from nrem.memory.stream.chunk import Chunk


@dataclass(frozen=True, kw_only=True)
class NightStarted:
    """Documents are about to be read."""

    name: str
    num_bytes: int | None
    """Of text, in all of them; None where that is not known beforehand."""


@dataclass(frozen=True, kw_only=True)
class ChunkRead:
    """A chunk went through the model into the window."""

    chunk: Chunk
    surprisal: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class ChunkDreamt:
    """The model has asked itself about a chunk that leaves the window, and answered."""

    chunk: Chunk


@dataclass(frozen=True, kw_only=True)
class ChunksEvicted:
    """Chunks left the window for the buffer."""

    chunks: tuple[Chunk, ...]
    buffer_tokens: int


@dataclass(frozen=True, kw_only=True)
class SleepStarted:
    """A sleep begins."""

    index: int
    chunks: tuple[int, ...]
    replayed: tuple[int, ...]
    max_passes: int
    recall: float


@dataclass(frozen=True, kw_only=True)
class PassDone:
    """One pass over the active chunks was written."""

    sleep: int
    passes: int
    """Passes so far in this sleep."""
    active: int
    """Chunks that took part."""
    loss: float
    recall: float
    """Held-out recall at the last look, over all chunks of the sleep."""
    tokens: int
    tokens_per_second: float
    fet: float
    """Spent so far, all kinds of work."""


@dataclass(frozen=True, kw_only=True)
class SleepEnded:
    """A sleep is over, kept or rolled back."""

    record: SleepRecord
    chunks: tuple[ChunkRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NightEnded:
    """Everything was read and slept on."""

    record: MemoryRecord


Event = NightStarted | ChunkRead | ChunkDreamt | ChunksEvicted | SleepStarted | PassDone | SleepEnded | NightEnded
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""
