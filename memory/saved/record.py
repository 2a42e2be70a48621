"""What a memory knows about itself: the content of `memory.json`. Plain values, no tensors, no files.

Every class turns into a dictionary and back; keys that a later version added are kept out with a `MemoryFolderError` only when its
schema is newer than ours.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.identity import BaseIdentity

SCHEMA_VERSION = 2
"""2: an adapter may follow from its texts alone, with no statistics beside it."""
LATER = ("cache_token_bytes",)
"""Keys that older schemas do not have."""


@dataclass(kw_only=True)
class DocumentRecord:
    """One document that was read."""

    name: str
    title: str
    sha256: str
    num_characters: int
    num_tokens: int
    num_chunks: int


@dataclass(kw_only=True)
class ChunkRecord:
    """What happened to one chunk. Recall is the share of its held-out probes that greedy decoding would return."""

    document: str
    index: int
    start: int
    end: int
    num_tokens: int
    surprisal: float
    """Mean negative log-likelihood while reading, nats per token."""
    surprisal_median: float = 0.0
    sleep: int = -1
    """Index of the sleep that consolidated it; -1 while it waits, and for a chunk that says nothing."""
    segment: int = 0
    """Which of the memory's adapters holds it; of a chunk that had no pass, the one that was written last before it."""
    passes: int = 0
    pass_fet: float = 0.0
    """What a pass over it alone costs."""
    exit: str = ""
    """solved | hopeless | cap | budget; `empty` for a chunk that says nothing (`Chunk.says_nothing`); "" while it waits."""
    num_probes: int = 0
    """Held-out questions that were asked about it; 0 where it states nothing that can be asked for, or is not in the sample."""
    recall_before: float = 0.0
    recall_after: float = 0.0
    nll_before: float = 0.0
    """Mean answer NLL of the held-out probes, nats per token."""
    nll_after: float = 0.0
    looked_at: list[int] = field(default_factory=list)
    """Passes at each look at the probes; the first look is before any pass, the last one at the end of the sleep."""
    recall: list[float] = field(default_factory=list)
    """Recall at each look."""
    nll: list[float] = field(default_factory=list)
    """Answer NLL at each look."""

    @property
    def signals(self) -> dict[str, float]:
        """What reading it left, by name."""
        return {"surprisal": self.surprisal, "surprisal_median": self.surprisal_median}


@dataclass(kw_only=True)
class SleepRecord:
    """One sleep: which chunks, how many passes, what it cost, and whether the guard kept it."""

    index: int
    chunks: list[int]
    replayed: list[int]
    passes: int
    recall_before: float
    recall_after: float
    fet: float
    seconds: float
    kept: bool
    guard: dict[str, float]
    reason: str = ""
    """Why it was rolled back; empty when kept."""
    price: float = 0.0
    """What the next sleep asks of a pass, nats of answer NLL per FET, where the allocator has prices."""
    sample: bool = False
    """Whether only some of the chunks were asked about, since nothing was decided by it; `num_probes` of the others is 0."""


@dataclass(kw_only=True)
class MemoryRecord:
    """The whole provenance of a memory."""

    base: BaseIdentity
    protocol: dict[str, str]
    """id, sha256 and rule of the protocol; memories of schema 1 do not name the rule."""
    config: dict[str, Any]
    """The resolved configuration."""
    seed: int
    segment_chunks: int = 0
    """Chunks that one of the memory's adapters holds; 0 for no limit."""
    question_chunks: int = 0
    """Most chunks that a question is answered from; 0 for all of a segment."""
    cache_token_bytes: int = 0
    """Bytes of the base's attention cache for one token, to compare the adapters' with; 0 where it was not noted."""
    documents: list[DocumentRecord] = field(default_factory=list)
    chunks: list[ChunkRecord] = field(default_factory=list)
    sleeps: list[SleepRecord] = field(default_factory=list)
    fet: dict[str, float] = field(default_factory=dict)
    """FET by kind of work: reading, probes, passes, guard, ..."""
    seconds: dict[str, float] = field(default_factory=dict)
    canary: dict[str, str] = field(default_factory=dict)
    """A question and the answer that the attached base gave when the memory was made."""
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of the folder's files that must not change."""
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"base": self.base.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> Self:
        """Raises `MemoryFolderError`, naming `where` and the key, for a newer schema or a key that is missing."""
        version = values.get("schema_version")
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise MemoryFolderError(f"{where}: schema version {version}, this nrem reads up to {SCHEMA_VERSION}: upgrade nrem to open it")
        try:
            known = {f.name: values[f.name] for f in fields(cls) if f.name in values or version > 1 or f.name not in LATER}
            known["base"] = BaseIdentity.from_dict(values["base"])
            known["documents"] = [DocumentRecord(**v) for v in values["documents"]]
            known["chunks"] = [ChunkRecord(**v) for v in values["chunks"]]
            known["sleeps"] = [SleepRecord(**v) for v in values["sleeps"]]
        except (KeyError, TypeError) as error:
            raise MemoryFolderError(f"{where}: not a complete memory.json ({error}); restore the file or sleep again") from None
        return cls(**known)

    @property
    def num_tokens(self) -> int:
        return sum(d.num_tokens for d in self.documents)

    @property
    def num_segments(self) -> int:
        return 1 + max((c.segment for c in self.chunks), default=0)

    @property
    def num_chunks(self) -> int:
        """Chunks of the documents that were read to their end."""
        return sum(d.num_chunks for d in self.documents)
