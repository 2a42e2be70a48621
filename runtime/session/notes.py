"""What a session notes in the record of its memory: documents and chunks as they are read, and sleeps; and what it has cost so far. Knows
no models and no files."""

import hashlib
import statistics
from collections.abc import Iterator, Sequence

from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.budget import Ledger
from nrem.consolidation.sleep import SleepResult
from nrem.memory.saved.record import ChunkRecord, DocumentRecord, MemoryRecord
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.readers.document import Document


class Watched:
    """A document as it is read: its text, whose hash and length are noted on the way."""

    def __init__(self, document: Document) -> None:
        self.document, self._digest, self._characters = document, hashlib.sha256(), 0

    def pieces(self) -> Iterator[str]:
        for piece in self.document.pieces():
            self._digest.update(piece.encode())
            self._characters += len(piece)
            yield piece

    def record(self, chunk_tokens: Sequence[int]) -> DocumentRecord:
        """Of what was read, in chunks of so many tokens."""
        return DocumentRecord(
            name=self.document.name,
            title=self.document.title,
            sha256=self._digest.hexdigest(),
            num_characters=self._characters,
            num_tokens=sum(chunk_tokens),
            num_chunks=len(chunk_tokens),
        )


def chunk_record(chunk: Chunk, surprisals: Sequence[float]) -> ChunkRecord:
    """Of a chunk that was read; no surprisals where the budget did not pay for that."""
    return ChunkRecord(
        document=chunk.document,
        index=chunk.index,
        start=chunk.start,
        end=chunk.end,
        num_tokens=chunk.num_tokens,
        surprisal=statistics.fmean(surprisals) if surprisals else 0.0,
        surprisal_median=statistics.median(surprisals) if surprisals else 0.0,
        exit="empty" if chunk.says_nothing else "",
    )


def note_sleep(record: MemoryRecord, result: SleepResult, segment: int) -> None:
    """A sleep, and in each of its chunks what came of it there."""
    record.sleeps.append(result.record)
    for p in result.progress:
        chunk = record.chunks[p.chunk]
        chunk.sleep, chunk.segment = result.record.index, segment
        chunk.passes, chunk.exit, chunk.pass_fet = p.passes, p.exit or "", p.signals.get("pass_fet", 0.0)
        chunk.num_probes, chunk.recall_before, chunk.recall_after = p.num_probes, p.recall[0], p.recall[-1]
        chunk.nll_before, chunk.nll_after = p.nll[0], p.nll[-1]
        chunk.looked_at, chunk.recall, chunk.nll = list(p.looked_at), list(p.recall), list(p.nll)


def ledger_of(record: MemoryRecord, sleep: SleepConfig) -> Ledger:
    """With what the memory has cost so far; a budget is for what a session adds to it."""
    spent = Ledger()
    spent.restore({"fet": record.fet, "seconds": record.seconds})
    fet, seconds = (sleep.budget_fet, spent.total_fet), (sleep.budget_seconds, spent.total_seconds)
    most_fet, most_seconds = (budget + before if budget else None for budget, before in (fet, seconds))
    return Ledger(most_fet, most_seconds, spent.fet, spent.seconds)
