"""`direct`: the memory as what PEFT opens."""

from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.wake.way import Way


class Direct(Way):
    """the adapter alone, nothing but the question in the prompt"""

    def chunks(self, text: EvictedText | None, question: str) -> list[Chunk]:
        return []
