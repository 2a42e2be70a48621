"""What a memory knows about itself: the content of `memory.json`. Plain values, no tensors, no files.

Every class turns into a dictionary and back; keys that a later version added are kept out with a `MemoryFolderError` only when its
schema is newer than ours.
"""

from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.values import KNOWN_KEYS_ONLY, Amount, Count, Exit, Flag, Hash, Measured, Place, Text, Whole

SCHEMA_VERSION = 5
"""2: an adapter may follow from its texts alone, with no statistics beside it. 3: the record holds its own hash, and says whether the text
was forgotten. 4: a later segment keeps only what it does not share with the first. 5: chunks may hold what was dreamt about them."""
LATER = {"cache_token_bytes": 2, "forgot_text": 3}
"""Keys that schemas before this one do not have."""


@dataclass(kw_only=True)
class DocumentRecord:
    """One document that was read."""

    __pydantic_config__ = KNOWN_KEYS_ONLY

    name: Text
    title: Text
    sha256: Hash
    num_characters: Count
    num_tokens: Count
    num_chunks: Count


@dataclass(kw_only=True)
class ChunkRecord:
    """What happened to one chunk. Recall is the share of its held-out probes that greedy decoding would return."""

    __pydantic_config__ = KNOWN_KEYS_ONLY

    document: Text
    index: Count
    start: Count
    end: Count
    num_tokens: Count
    surprisal: Measured
    """Mean negative log-likelihood while reading, nats per token."""
    surprisal_median: Measured = 0.0
    sleep: Place = -1
    """Index of the sleep that consolidated it; -1 while it waits, and for a chunk that says nothing."""
    segment: Count = 0
    """Which of the memory's adapters holds it; of a chunk that had no pass, the one that was written last before it."""
    passes: Count = 0
    dreamt: Count = 0
    """Questions that the model asked itself about it; they are kept with the text, and this number without it, too."""
    pass_fet: Amount = 0.0
    """What a pass over it alone costs."""
    exit: Exit = ""
    """solved | hopeless | cap | budget; `empty` for a chunk that says nothing (`Chunk.says_nothing`); "" while it waits."""
    num_probes: Count = 0
    """Held-out questions that were asked about it; 0 where it states nothing that can be asked for, or is not in the sample."""
    recall_before: Measured = 0.0
    recall_after: Measured = 0.0
    nll_before: Measured = 0.0
    """Mean answer NLL of the held-out probes, nats per token."""
    nll_after: Measured = 0.0
    looked_at: list[Count] = field(default_factory=list)
    """Passes at each look at the probes; the first look is before any pass, the last one at the end of the sleep."""
    recall: list[Measured] = field(default_factory=list)
    """Recall at each look."""
    nll: list[Measured] = field(default_factory=list)
    """Answer NLL at each look."""

    @property
    def signals(self) -> dict[str, float]:
        """What reading it left, by name."""
        return {"surprisal": self.surprisal, "surprisal_median": self.surprisal_median}


@dataclass(kw_only=True)
class SleepRecord:
    """One sleep: which chunks, how many passes, what it cost, and whether the guard kept it."""

    __pydantic_config__ = KNOWN_KEYS_ONLY

    index: Count
    chunks: list[Count]
    replayed: list[Count]
    passes: Count
    recall_before: Measured
    recall_after: Measured
    fet: Amount
    seconds: Amount
    kept: Flag
    guard: dict[str, Measured]
    reason: Text = ""
    """Why it was rolled back; empty when kept."""
    price: Measured = 0.0
    """What the next sleep asks of a pass, nats of answer NLL per FET, where the allocator has prices."""
    sample: Flag = False
    """Whether only some of the chunks were asked about, since nothing was decided by it; `num_probes` of the others is 0."""


@dataclass(kw_only=True)
class MemoryRecord:
    """The whole provenance of a memory."""

    base: BaseIdentity
    protocol: dict[str, Text]
    """id, sha256 and rule of the protocol; memories of schema 1 do not name the rule."""
    config: dict[str, Any]
    """The resolved configuration."""
    seed: Whole
    segment_chunks: Count = 0
    """Chunks that one of the memory's adapters holds; 0 for no limit."""
    question_chunks: Count = 0
    """Most chunks that a question is answered from; 0 for all of a segment."""
    cache_token_bytes: Count = 0
    """Bytes of the base's attention cache for one token, to compare the adapters' with; 0 where it was not noted."""
    documents: list[DocumentRecord] = field(default_factory=list)
    chunks: list[ChunkRecord] = field(default_factory=list)
    sleeps: list[SleepRecord] = field(default_factory=list)
    fet: dict[str, Amount] = field(default_factory=dict)
    """FET by kind of work: reading, probes, passes, guard, ..."""
    seconds: dict[str, Amount] = field(default_factory=dict)
    canary: dict[str, Text] = field(default_factory=dict)
    """A question and the answer that the attached base gave when the memory was made."""
    versions: dict[str, Text] = field(default_factory=dict)
    created: Text = ""
    files: dict[str, Hash] = field(default_factory=dict)
    """sha256 of the folder's files that must not change."""
    forgot_text: Flag = False
    """Whether the text was left out on purpose."""
    schema_version: Count = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a measurement that came to no number is NaN here and `null` in the file."""
        return asdict(self) | {"base": self.base.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> "MemoryRecord":
        """Validated once, here: types, finite numbers, ranges. Raises `MemoryFolderError`, naming `where` and the key, for what is wrong,
        what is missing, and a newer schema."""
        version = values.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool) or version > SCHEMA_VERSION:
            raise MemoryFolderError(f"{where}: schema version {version}, this nrem reads up to {SCHEMA_VERSION}: upgrade nrem to open it")
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        if missing := [f.name for f in fields(cls) if f.name not in known and version >= LATER.get(f.name, 0)]:
            raise MemoryFolderError(f"{where}: not a complete memory.json ({missing[0]} is missing); restore the file or sleep again")
        if isinstance(known["base"], dict):
            known["base"] = BaseIdentity.migrated(known["base"])
        try:
            record = _validator().validate_python(known)
        except ValidationError as error:
            raise MemoryFolderError(f"{where}: {_told(error)}; restore the file or sleep again") from None
        record.schema_version = version
        return record

    @property
    def num_tokens(self) -> int:
        return sum(d.num_tokens for d in self.documents)

    def passes_kept(self, chunk: ChunkRecord) -> int:
        """Passes over a chunk that its adapter holds: none where the guard rolled their sleep back."""
        return chunk.passes if chunk.sleep >= 0 and self.sleeps[chunk.sleep].kept else 0

    @property
    def num_segments(self) -> int:
        return 1 + max((c.segment for c in self.chunks), default=0)

    @property
    def num_chunks(self) -> int:
        """Chunks of the documents that were read to their end."""
        return sum(d.num_chunks for d in self.documents)


@cache
def _validator() -> TypeAdapter[MemoryRecord]:
    """Building one takes longer than reading a record."""
    return TypeAdapter(MemoryRecord)


def _told(error: ValidationError) -> str:
    """The first thing that is wrong, as `chunks[3].passes is 'x', expected a valid integer`."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    if first["type"] == "missing":
        return f"not a complete memory.json ({path} is missing)"
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{path} is no key of this nrem"
    wanted = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{path} is {str(first['input'])[:60]!r}, expected {wanted[:1].lower() + wanted[1:]}"
