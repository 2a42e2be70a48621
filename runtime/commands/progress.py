"""Progress on stderr: one bar for what is read and slept on, and a line at the end of the night, fed by the events of a session."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from nrem.consolidation.events import (
    ChunkDreamt,
    ChunkRead,
    ChunksEvicted,
    Event,
    NightEnded,
    NightStarted,
    PassDone,
    SleepEnded,
    SleepStarted,
)
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.show.night import night, over_budget, rolled_back
from nrem.runtime.show.plain import plain

FIRST_LINE_SECONDS = 60.0
"""Where stderr is no terminal there is no bar, but a line after so long, and after every doubling of it."""
KNOWN = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
UNKNOWN = "{desc} {n_fmt}B, {elapsed}{postfix}"


class ProgressBar:
    """A listener. Quiet, it shows nothing at all, and `note` is silent as well."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: tqdm[Any] | None = None
        self._begin("reading", None)

    def note(self, text: str) -> None:
        """A line for the person who waits."""
        if not self.quiet:
            tqdm.write(plain(text), file=sys.stderr)
            sys.stderr.flush()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.quiet:
            return
        if isinstance(event, NightStarted):
            self._begin(event.name, event.num_bytes)
        elif isinstance(event, ChunkRead):
            self._read[event.chunk.index] = _bytes(event.chunk)
            self._show("reading")
        elif isinstance(event, ChunkDreamt):
            self._show(f"dreaming, {len(event.chunk.dreamt)} questions about chunk {event.chunk.index}")
        elif isinstance(event, ChunksEvicted):
            for chunk in event.chunks:
                if chunk.index not in self._read:  # an earlier run has read it, and slept on it unless it comes again
                    self._read[chunk.index] = self._slept[chunk.index] = _bytes(chunk)
        elif isinstance(event, SleepStarted):
            self._asleep = tuple(event.chunks)
            self._passes = max(1, event.max_passes)
            for index in event.chunks:
                self._slept.pop(index, None)
            self._show(f"sleep {event.index + 1}")
        elif isinstance(event, PassDone):
            part = event.passes / self._passes
            self._slept |= {index: part * self._read.get(index, 0) for index in self._asleep}
            self._show(f"sleep {event.sleep + 1}, pass {event.passes} over {event.active} chunks")
        elif isinstance(event, SleepEnded):
            self._slept |= {index: self._read.get(index, 0) for index in event.record.chunks}
            self._show("reading")
        elif isinstance(event, NightEnded):
            self._show("")
            self.close()
            for line in (night(event.record), rolled_back(event.record), over_budget(event.record)):
                if line:
                    self.note(line)

    def close(self) -> None:
        """End the bar that is open, if one is; what comes next has a bar of its own."""
        if self._bar is not None:
            self._bar.close()
        self._begin("reading", None)

    def _begin(self, name: str, num_bytes: int | None) -> None:
        self._name, self._total, self._bar = plain(name), num_bytes, None
        self._read: dict[int, float] = {}
        self._slept: dict[int, float] = {}
        self._asleep = tuple[int, ...]()
        self._passes = 1
        self._started, self._next_line = time.monotonic(), FIRST_LINE_SECONDS

    def _show(self, what: str) -> None:
        """Reading is half of the way, sleeping on what was read the other half."""
        done = (sum(self._read.values()) + sum(self._slept.values())) / 2
        if not sys.stderr.isatty():
            seconds = time.monotonic() - self._started
            if seconds >= self._next_line:
                self._next_line = 2 * seconds
                so_far = f"{100 * min(1.0, done / self._total):.0f} %" if self._total else f"{done:,.0f} bytes"
                self.note(f"{self._name}: {so_far} read and slept on after {seconds:,.0f} s")
            return
        if self._bar is None:
            style: Mapping[str, Any] = {"bar_format": KNOWN if self._total else UNKNOWN, "unit_scale": True, "dynamic_ncols": True}
            self._bar = tqdm(desc=self._name, total=self._total, file=sys.stderr, leave=False, **style)
        self._bar.set_postfix_str(what, refresh=False)
        self._bar.update(min(done, self._total or done) - self._bar.n)


def _bytes(chunk: Chunk) -> int:
    return len(chunk.text.encode())
