"""Evicted text: every chunk that left the window, on disk as it leaves, and searchable by BM25. Knows nothing about models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import bm25s

from nrem.memory.chunk import Chunk
from nrem.memory.errors import MemoryFolderError

CHUNKS = "chunks.jsonl"


class Hit(NamedTuple):
    """A chunk that a search found."""

    chunk: Chunk
    score: float


class EvictedText:
    """The chunks of one memory, one JSON object a line. Only line offsets are kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / CHUNKS
        self._offsets: list[int] = []
        self._index: tuple[int, bm25s.BM25] | None = None
        if self.path.exists():
            self._scan()

    def append(self, chunk: Chunk) -> None:
        """Write a chunk through to the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = (json.dumps(chunk.to_dict(), ensure_ascii=False) + "\n").encode()
        with self.path.open("ab") as file:
            self._offsets.append(file.tell())
            file.write(line)

    def truncate(self, length: int) -> None:
        """Keep the first `length` chunks only; a resumed run goes on from there."""
        if length < len(self):
            with self.path.open("r+b") as file:
                file.truncate(self._offsets[length])
            del self._offsets[length:]

    def get(self, index: int) -> Chunk:
        """The chunk at a position."""
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            return Chunk.from_dict(json.loads(file.readline()))

    def search(self, query: str, k: int = 3) -> list[Hit]:
        """The `k` best chunks by BM25, best first, the earlier one on ties; none where no word of the query occurs."""
        if not len(self):
            return []
        if self._index is None or self._index[0] != len(self):
            index = bm25s.BM25()
            index.index(bm25s.tokenize([c.text for c in self], stopwords="en", show_progress=False), show_progress=False)
            self._index = (len(self), index)
        words = bm25s.tokenize(query, stopwords="en", return_ids=False, show_progress=False)[0]
        if not words:
            return []
        scores = self._index[1].get_scores(words)
        best = sorted(range(len(self)), key=lambda i: (-float(scores[i]), i))[:k]
        return [Hit(self.get(i), float(scores[i])) for i in best if scores[i] > 0]

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Chunk]:
        return (self.get(i) for i in range(len(self)))

    def _scan(self) -> None:
        """Find the lines. A torn last line, left by a kill, is cut off; damage before it is an error."""
        good = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    Chunk.from_dict(json.loads(line))
                    complete = line.endswith(b"\n")
                except (ValueError, TypeError):
                    complete = False
                if not complete:
                    if file.read(1):
                        raise MemoryFolderError(f"{self.path}: line {number} is damaged; restore the file or sleep again")
                    break
                self._offsets.append(good)
                good += len(line)
        if good < self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.truncate(good)
