"""The segments of a memory as they are written, one after the other: what one adapter holds is limited, so a long document gets several.

Only the last segment is open. Chunks are dealt out in reading order, as many to a segment as the protocol was measured to hold, and a
segment holds chunks of one document only. Knows nothing about windows, buffers or questions.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile

from torch import Tensor

from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import Listener
from nrem.consolidation.guard import Guard
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.sleep import Sleeper
from nrem.memory.memory import Memory
from nrem.memory.saved.files import sealed_folder
from nrem.memory.saved.record import ChunkRecord, SleepRecord
from nrem.memory.saved.replace import replace_folder
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.segment import Segment
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper


class SegmentWriter:
    """Holds the sleeper of the open segment, and opens the next one when it is full."""

    def __init__(self, base: Base, config: Config, protocol: Protocol, memory: Memory, ledger: Ledger, listener: Listener) -> None:
        self.base, self.config, self.protocol, self.memory, self.ledger = base, config, protocol, memory, ledger
        self.listener, self.capacity = listener, memory.record.segment_chunks
        memory.segments[-1] = memory.segments[-1].to_write()
        self.sleeper = self._sleeper()
        held = {c.index: passes for c in self._held if (passes := memory.record.passes_kept(c))}
        self.sleeper.rule.go_on(memory.segments[-1].written, held)

    @property
    def open(self) -> int:
        """Index of the open segment."""
        return len(self.memory.segments) - 1

    def deal(self, chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
        """Runs of the chunks, each to be slept on in the segment that is open when the run is handed out."""
        rest = list(chunks)
        while rest:
            if not self._room(rest[0]):
                self._open_next()
            run = self._of_one_document(rest) if self.capacity else rest
            run = run[: self._room(rest[0])]
            yield run
            rest = rest[len(run) :]

    @contextmanager
    def whole_or_not(self) -> Iterator[None]:
        """What a sleep writes inside is written whole or, where it is cut off, not at all."""
        fast, rule = self.sleeper.fast.clone(), {key: tensor.clone() for key, tensor in self.sleeper.rule.state().items()}
        try:
            yield
        except BaseException:
            self.sleeper.rule.end()
            self.sleeper.meter.forget()
            self.sleeper.fast.restore(fast)
            self.sleeper.rule.restore(rule)
            self.seal()
            raise

    def home(self, sleep: SleepRecord) -> int:
        """The segment that the chunks of a sleep belong to: the open one, or, as long as nothing that was kept is written into it, the one
        before. So no segment is saved that holds nothing, but for a memory's first, which PEFT opens."""
        begun = (sleep.kept and sleep.passes > 0) or self._begun
        return self.open if begun else max(0, self.open - 1)

    def replay(self, run: Sequence[Chunk]) -> list[Chunk]:
        """Chunks that the open segment holds from earlier sleeps, from the evicted text: as many as the configuration says, spread evenly
        over them, or all that were written where the rule needs them."""
        assert self.memory.text is not None
        held = [c.index for c in self._held]
        if self.sleeper.rule.rereads:
            return [self.memory.text.get(index) for index in held if self.memory.record.passes_kept(self.memory.record.chunks[index])]
        count = min(len(held), round(self.config.sleep.replay * len(run)))
        shift = len(self.memory.record.sleeps)  # other chunks in every sleep
        return [self.memory.text.get(held[(i * len(held) // count + shift) % len(held)]) for i in range(count)]

    def reopen(self, sealed: Sequence[Segment], fast: dict[str, Tensor], rule: dict[str, Tensor]) -> None:
        """Go back to where the open segment stood behind these sealed ones, whose values lie in files."""
        self.memory.segments[:] = sealed
        self._begin()
        if fast:
            self.sleeper.fast.restore(fast)
            self.sleeper.rule.restore(rule)

    def seal(self) -> Segment:
        """Give the open segment what it must keep to be changed later, be it by another session."""
        segment = self.memory.segments[-1]
        segment.written = self.sleeper.rule.written
        return segment

    @staticmethod
    def _of_one_document(chunks: Sequence[Chunk]) -> list[Chunk]:
        return list(takewhile(lambda chunk: chunk.document == chunks[0].document, chunks))

    @property
    def _held(self) -> list[ChunkRecord]:
        """The chunks of earlier sleeps that belong to the open segment."""
        return [c for c in self.memory.record.chunks if c.sleep >= 0 and c.segment == self.open]

    @property
    def _begun(self) -> bool:
        """Whether anything is written into the open segment."""
        return any(map(self.memory.record.passes_kept, self._held))

    def _room(self, chunk: Chunk) -> int:
        """How many more chunks the open segment takes, of this chunk's document."""
        if not self.capacity:
            return len(self.memory.record.chunks)
        held = self._held
        if not self._begun:
            return self.capacity
        return 0 if held and held[-1].document != chunk.document else max(0, self.capacity - len(held))

    def _open_next(self) -> None:
        self.seal()
        self._put_away()
        self._begin()

    def _put_away(self) -> None:
        """The open segment will not change any more: its values stay on the disk from now on, beside the text."""
        memory = self.memory
        assert memory.text is not None
        target = sealed_folder(memory.text.folder.parent, self.open)
        made = target.with_name(f".{target.name}.tmp")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        memory.segments[-1].save(made, memory.record.base.name, memory.record.base.revision)
        replace_folder(made, target)
        memory.segments[-1] = Segment.load(target)

    def _begin(self) -> None:
        self.memory.segments.append(Segment(make_fast_weights(self.base, self.config, self.protocol)))
        self.sleeper = self._sleeper(self.sleeper.guard)

    def _sleeper(self, guard: Guard | None = None) -> Sleeper:
        weights = self.memory.segments[-1].weights
        return make_sleeper(self.base, self.config, self.protocol, weights, self.ledger, self.listener, guard)
