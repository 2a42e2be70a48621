"""A way of answering: what is attached to the model, and what stands in the prompt beside the question.

One file a way, and one row of `ways.WAYS`. Knows nothing about decoding, and imports no model.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText


class Way(ABC):
    """The first line of a way's docstring is its help text."""

    searches: ClassVar[bool] = False
    """Whether it needs the text that was kept."""
    adapter: ClassVar[bool] = True
    """Whether the memory's fast weights are on; else the protocol's reader alone, as with nothing written."""

    @abstractmethod
    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        """The chunks that go into the prompt, in this order; none where nothing of the question is found."""
