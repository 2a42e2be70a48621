"""Evicted text: every chunk that left the window, on disk as it leaves, and searchable by BM25. Knows nothing about models."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.saved.atomic import sync_file, sync_folder
from nrem.memory.saved.files import TEXT_CHUNKS, TEXT_INDEX
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.index import RULES, SearchIndex
from nrem.memory.text.index_file import load_index_file, save_index_file

SHARPNESS = 4
"""A chunk with half of the best one's score counts by 1/2 ** 4 (benchmarks/LOG.md)."""


LONGEST_SUBJECT = 120
"""Characters of a first line that say what a document without a title is about."""


class Hit(NamedTuple):
    """A chunk that a search found, and its BM25 score, greater than 0."""

    chunk: Chunk
    score: float


class EvictedText:
    """The chunks of one memory, one JSON object a line. The texts stay on disk; memory holds the offsets of the lines and the index.

    Opening changes nothing on disk; a last line that a kill has torn is left out, and goes when the next chunk is written.
    """

    def __init__(self, folder: str | Path) -> None:
        """Raises `MemoryFolderError`, naming file and line, when a whole line is not a chunk."""
        self.folder = Path(folder)
        self.path = self.folder / TEXT_CHUNKS
        self._index: tuple[str, SearchIndex | None] = ("", None)
        self._scan()

    def append(self, chunk: Chunk) -> None:
        """Write a chunk through to the operating system, behind the last whole line."""
        line = json_text(chunk.to_dict(), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(self._size)
            file.truncate()
            file.write(line)
        self._add(line)

    def sync(self) -> None:
        """Return when all chunks are on the disk."""
        if self.path.exists():
            sync_file(self.path)
            sync_folder(self.folder)

    def truncate(self, length: int) -> None:
        """Keep the first `length` chunks only; a resumed run goes on from there."""
        if not 0 <= length <= len(self):
            raise MemoryFolderError(f"{self.path}: holds {len(self)} chunks, cannot go back to {length}: start the run again")
        if self.path.exists():
            with self.path.open("r+b") as file:
                file.truncate([*self._offsets, self._size][length])
            self._scan()

    def get(self, index: int) -> Chunk:
        """The chunk at a position, from 0."""
        if not 0 <= index < len(self):
            raise UsageError(f"{self.path}: holds {len(self)} chunks, got index {index}, expected 0 or more and less than that")
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            return self._parse(file.readline(), index + 1)

    def search(self, query: str, k: int = 3) -> list[Hit]:
        """The `k` best chunks by BM25, best first, the earlier one on ties; only chunks in which a piece of a word of the query occurs."""
        return [Hit(self.get(index), score) for index, score in self._best(query, k)]

    def shares(self, query: str, k: int) -> dict[int, float]:
        """How far each of the `k` best chunks should count for a query: 1 for the best, less for the others, none that hardly match."""
        best = self._best(query, k)
        shares = {index: round((score / best[0][1]) ** SHARPNESS, 2) for index, score in best}
        return {index: share for index, share in shares.items() if share}

    def save_index(self) -> Path | None:
        """Save the search index beside the chunks, so that the next search need not read them all; None where there is no word.

        An index that does not belong to these very chunks is never used: it is made anew.
        """
        index = self._fresh_index()
        target = self.folder / TEXT_INDEX
        if index is None:
            target.unlink(missing_ok=True)
            return None
        save_index_file(index, self.folder, self._stamp)
        return target

    @property
    def sha256(self) -> str:
        """Hash of the whole lines, hexadecimal."""
        return self._digest.hexdigest()

    @property
    def has_index(self) -> bool:
        """Whether the saved index is one of these very chunks, and whole."""
        return self._saved_index(self._stamp) is not None

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks in order, read from disk one at a time."""
        if len(self):
            with self.path.open("rb") as file:
                for number in range(1, len(self) + 1):
                    yield self._parse(file.readline(), number)

    def _best(self, query: str, k: int) -> list[tuple[int, float]]:
        """Index and score of what `search` finds; reads no chunk."""
        if k < 1:
            raise UsageError(f"k: got {k}, expected 1 or more chunks to search for")
        if (index := self._fresh_index()) is None:
            return []
        scores = index.scores(query)
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:k]
        return [(i, scores[i]) for i in best if scores[i] > 0]

    def _scan(self) -> None:
        """Find the whole lines and check each of them."""
        self._offsets: list[int] = []
        self._size = 0
        self._digest = hashlib.sha256()
        if self.path.exists():
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):  # torn; there is no line after it
                        break
                    self._parse(line, number)
                    self._add(line)

    def _add(self, line: bytes) -> None:
        self._offsets.append(self._size)
        self._size += len(line)
        self._digest.update(line)

    def _parse(self, line: bytes, number: int) -> Chunk:
        try:
            return Chunk.from_dict(parse_json(line))
        except ValueError as error:
            raise MemoryFolderError(f"{self.path}: line {number} is damaged ({error}); restore the file or sleep again") from None

    def _fresh_index(self) -> SearchIndex | None:
        """The index of exactly these chunks: the one at hand, else the saved one, else a new one; None where they have no words."""
        stamp = self._stamp
        if self._index[0] != stamp:
            self._index = (stamp, self._saved_index(stamp) or self._new_index())
        return self._index[1]

    def _new_index(self) -> SearchIndex | None:
        subjects: dict[str, str] = {}  # of every document its title, else how it begins
        about: list[str] = []
        texts: list[str] = []
        for chunk in self:
            texts.append(chunk.text)
            about.append(subjects.setdefault(chunk.document, chunk.title or _first_line(chunk.text)))
        return SearchIndex.of(texts, about)

    @property
    def _stamp(self) -> str:
        return f"{self.sha256} {RULES}"

    def _saved_index(self, stamp: str) -> SearchIndex | None:
        try:
            return load_index_file(self.folder, stamp, len(self))
        except Exception:  # missing, damaged or foreign, in any way: nothing is lost, it can be made again
            return None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:LONGEST_SUBJECT]
