"""A session that can be cut off at any moment: its checkpoints, and how the next one takes them up.

The journal's folder holds the evicted text as it grows and the last checkpoint; when the same documents are streamed again, everything up
to the checkpoint is recognised rather than done again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from nrem.consolidation.budget import Ledger
from nrem.consolidation.sleep import Sleeper
from nrem.memory.errors import SleepError
from nrem.memory.folder import Memory
from nrem.memory.journal import Journal
from nrem.memory.record import MemoryRecord
from nrem.runtime.models import Base

CHECKPOINT_SECONDS = 2.0


@dataclass
class Unfinished:
    """Keeps a session's checkpoints in a journal; does nothing where there is none."""

    journal: Journal | None
    _checked_at: float = 0.0

    def during_sleep(self, memory: Memory, ledger: Ledger, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """After a pass; at most every two seconds."""
        if time.monotonic() - self._checked_at >= CHECKPOINT_SECONDS:
            self._save(memory, ledger, state, tensors)

    def after_sleep(self, memory: Memory, ledger: Ledger, sleeper: Sleeper) -> None:
        """A sleep is over and in the record."""
        tensors = {f"fast/{k}": v for k, v in sleeper.fast.tensors().items()}
        self._save(memory, ledger, None, tensors | {f"rule/{k}": v for k, v in sleeper.rule.state().items()})

    def _save(self, memory: Memory, ledger: Ledger, sleep: dict[str, Any] | None, tensors: dict[str, Tensor]) -> None:
        if self.journal is None:
            return
        assert memory.text is not None
        evicted = len(memory.text)
        record = replace(memory.record, documents=[], chunks=memory.record.chunks[:evicted])  # what was only in the window is read again
        state = {"record": record.to_dict(), "evicted": evicted, "ledger": ledger.state(), "sleep": sleep}
        self.journal.checkpoint(state, tensors)
        self._checked_at = time.monotonic()

    def take_up(
        self, memory: Memory, base: Base, config: Mapping[str, Any], ledger: Ledger, sleeper: Sleeper
    ) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Bring everything back to the last checkpoint; returns the sleep that was cut off, if one was."""
        if self.journal is None:
            return None
        assert memory.text is not None
        if (latest := self.journal.latest()) is None:
            memory.text.truncate(0)
            return None
        state, tensors = latest
        where = self.journal.folder
        memory.record = MemoryRecord.from_dict(state["record"], str(where))
        if problem := base.identity.mismatch(memory.record.base):
            raise SleepError(f"{where}: the unfinished sleep was on another base model ({problem}); start again with --force")
        if memory.record.config != config:
            raise SleepError(f"{where}: the unfinished sleep had another configuration; give the same one, or start again with --force")
        ledger.restore(state["ledger"])
        memory.text.truncate(state["evicted"])
        if state["sleep"] is not None:
            return state["sleep"], tensors
        parts = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("fast/", "rule/")]
        sleeper.fast.restore(parts[0])
        sleeper.rule.restore(parts[1])
        return None
