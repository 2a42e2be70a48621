"""A session that can be cut off at any moment: its checkpoints, and how the next one takes them up.

The journal's folder holds the evicted text as it grows and the last checkpoint; when the same documents are streamed again, everything up
to the checkpoint is recognised rather than done again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nrem.consolidation.budget import Ledger
from nrem.memory.errors import MemoryFolderError, SleepError
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.files import sealed_folder
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.weights.segment import Segment
from nrem.runtime.models.load import Base
from nrem.runtime.session.segments import SegmentWriter

CHECKPOINT_SECONDS = 2.0


@dataclass(frozen=True)
class CutOff:
    """Where a killed run stood."""

    sleep: tuple[dict[str, Any], dict[str, Tensor]] | None = None
    """The sleep that was cut off, as its checkpoint has it."""
    at: int = 0
    """The sleep on what waits begins when so many chunks have been evicted, as it did then; 0 where none was cut off."""


@dataclass
class Unfinished:
    """Keeps a session's checkpoints in a journal; does nothing where there is none."""

    journal: Journal | None
    _writer: SegmentWriter | None = None
    """Whose work is kept."""
    _checked_at: float = 0.0
    _hashes: dict[str, str] = field(default_factory=dict)
    """sha256 of the files of sealed segments, by their names in the journal's folder."""

    def refused(self, what: str, did: str) -> SleepError:
        """The error for another document than the one that was cut off: what stands before and behind "the unfinished sleep" in it."""
        if self.journal is not None:
            return SleepError(f"{what} the unfinished sleep {did}; give the same document, or start again with --force")
        way_out = "give the same document, or begin anew with a new Session, or with the memory as it was saved"
        return SleepError(f"{what} the call that was cut off {did}; {way_out}")

    def check_goes_on(self, record: MemoryRecord, name: str) -> None:
        """Raise `SleepError` where another document than this is half read."""
        if len(record.chunks) > record.num_chunks and (begun := record.chunks[record.num_chunks].document) != name:
            raise self.refused(f"{name}: is not {begun}, of which", "has read a part")

    def check_nothing_missing(self, record: MemoryRecord) -> None:
        """Of a call that goes on: other documents may begin like those that were read, and end earlier."""
        read, known = record.num_chunks, len(record.chunks)
        if known > read:
            raise self.refused(f"{record.documents[-1].name}: ends after {read} chunks, but", f"has read {known}")

    def during_sleep(self, left: int, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """After a pass; at most every two seconds. `left`, here and below: chunks whose window is over, so that a run that goes on need not
        read them again; not all of them may be in the evicted text yet."""
        if self._is_due:
            self._save(left, {"sleep": state, "more": True}, tensors)

    def after_dreams(self, left: int) -> None:
        """Chunks with their dreams are in the evicted text; at most every two seconds."""
        if self._is_due:
            self.after_sleep(left, more=False)

    def after_sleep(self, left: int, *, more: bool) -> None:
        """A sleep is over and in the record; `more`: the next one follows at once, on chunks that wait already."""
        if self._writer is not None:
            tensors = {f"fast/{k}": v for k, v in self._writer.sleeper.fast.tensors().items()}
            tensors |= {f"rule/{k}": v for k, v in self._writer.sleeper.rule.state().items()}
            self._save(left, {"sleep": None, "more": more}, tensors)

    @property
    def _is_due(self) -> bool:
        return time.monotonic() - self._checked_at >= CHECKPOINT_SECONDS

    def _save(self, left: int, sleep: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        if self.journal is None or self._writer is None:
            return
        memory, ledger = self._writer.memory, self._writer.ledger
        assert memory.text is not None
        self._note_sealed(self.journal.folder, len(memory.segments) - 1)
        memory.text.sync()  # a checkpoint must not outlive the text that it counts
        evicted = len(memory.text)
        record = replace(memory.record, documents=[], chunks=memory.record.chunks[:left])  # what was only in the window is read again
        state = {"record": record.to_dict(), "evicted": evicted, "ledger": ledger.state(), "sealed": len(memory.segments) - 1, **sleep}
        state |= {"text_sha256": memory.text.sha256, "files": self._hashes}
        self.journal.checkpoint(state, tensors)
        self._checked_at = time.monotonic()

    def _note_sealed(self, folder: Path, count: int) -> None:
        """The hashes of what the writer has put there."""
        for index in range(count):
            files = {path.relative_to(folder).as_posix(): path for path in sorted(sealed_folder(folder, index).iterdir())}
            self._hashes |= {name: sha256_file(path) for name, path in files.items() if name not in self._hashes}

    def take_up(self, base: Base, config: Mapping[str, Any], ledger: Ledger, writer: SegmentWriter) -> CutOff:
        """Bring everything back to the last checkpoint; returns what was cut off there."""
        if self.journal is None:
            return CutOff()
        self._writer, memory = writer, writer.memory
        assert memory.text is not None
        if (latest := self.journal.latest()) is None:
            memory.text.truncate(0)
            return CutOff()
        state, tensors = latest
        where = self.journal.folder
        memory.record = MemoryRecord.from_dict(state["record"], str(where))
        if problem := base.identity.mismatch(memory.record.base):
            raise SleepError(f"{where}: the unfinished sleep was on another base model ({problem}); start again with --force")
        if (mine := memory.record.protocol["sha256"]) != writer.protocol.sha256:
            raise SleepError(
                f"{where}: the unfinished sleep was with another protocol ({mine[:6]}, got {writer.protocol.sha256[:6]}); give the same "
                "one, or start again with --force"
            )
        if memory.record.config != config:
            raise SleepError(f"{where}: the unfinished sleep had another configuration; give the same one, or start again with --force")
        ledger.restore(state["ledger"])
        memory.text.truncate(state["evicted"])
        self._check_files(where, memory.text.sha256, state)
        fast, rule = ({k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("fast/", "rule/"))
        writer.reopen([Segment.load(sealed_folder(where, i)) for i in range(state["sealed"])], fast, rule)
        sleep = (state["sleep"], tensors) if state["sleep"] is not None else None
        return CutOff(sleep, state["evicted"] if state["more"] else 0)

    def _check_files(self, folder: Path, text_sha256: str, state: dict[str, Any]) -> None:
        """What lies beside the checkpoint is what lay there when it was written."""
        problem = "text" if text_sha256 != state["text_sha256"] else ""
        self._hashes = dict(state["files"])
        for name, digest in self._hashes.items():
            if not (folder / name).is_file() or sha256_file(folder / name) != digest:
                problem = problem or name
        if problem:
            raise MemoryFolderError(f"{folder}: its {problem} was changed or damaged (its hash differs); start again with --force")
