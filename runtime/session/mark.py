"""Where a session stood between two documents: what it goes back to when the next one is cut off, so that the call can be repeated.

    what has left the window stays: text, dreams, record, and what was slept on        what stood in it is read again

Knows nothing about models.
"""

from copy import copy
from dataclasses import dataclass
from typing import Self

from nrem.memory.saved.record import MemoryRecord
from nrem.memory.stream.window import Window


@dataclass(frozen=True)
class Mark:
    """Of a session."""

    num_documents: int
    """That were read to their end."""
    window: Window

    @classmethod
    def of(cls, record: MemoryRecord, window: Window) -> Self:
        return cls(len(record.documents), copy(window))  # its values are replaced, never changed

    def take_back(self, record: MemoryRecord, left: int) -> Window:
        """Out of the record goes what was read since and is no part of the first `left` chunks, those that had left a window for good;
        returns the window as it was."""
        del record.documents[self.num_documents :]
        del record.chunks[max(left, record.num_chunks) :]
        return copy(self.window)
