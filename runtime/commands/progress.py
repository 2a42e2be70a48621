"""Progress on stderr: one bar for reading, then one for every sleep, fed by the events of a session."""

import sys
from typing import Any

from tqdm import tqdm

from nrem.consolidation.events import ChunkRead, Event, PassDone, SleepEnded, SleepStarted

SLOW_SECONDS = 10.0
"""Between two lines where stderr is a file."""


class Progress:
    """A listener. Quiet, it shows nothing at all, and `note` is silent as well."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: tqdm[Any] | None = None
        self._reading = False

    def note(self, text: str) -> None:
        """A line for the person who waits."""
        if not self.quiet:
            self.close()
            print(text, file=sys.stderr, flush=True)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self.quiet:
            return
        if isinstance(event, ChunkRead):
            if not self._reading:
                self._open("reading", None, " tokens")
                self._reading = True
            self._advance(event.chunk.num_tokens, f"surprisal {event.surprisal:.2f}")
        elif isinstance(event, SleepStarted):
            count = len(event.chunks) + len(event.replayed)
            self._open(f"sleep {event.index + 1}, {count} chunks", event.max_passes, " passes")
            self._advance(0, f"recall {event.recall:.2f}")
        elif isinstance(event, PassDone):
            assert self._bar is not None
            text = f"{event.tokens_per_second:,.0f} tokens/s, {event.active} active, loss {event.loss:.2f}, recall {event.recall:.2f}"
            self._advance(event.passes - int(self._bar.n), text)
        elif isinstance(event, SleepEnded):
            verdict = "kept" if event.record.kept else f"rolled back: {event.record.reason}"
            self.note(
                f"sleep {event.record.index + 1}: recall {event.record.recall_before:.2f} -> {event.record.recall_after:.2f}, {verdict}"
            )

    def close(self) -> None:
        """End the bar that is open, if one is."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._reading = None, False

    def _open(self, what: str, total: int | None, unit: str) -> None:
        self.close()
        every = 0.1 if sys.stderr.isatty() else SLOW_SECONDS
        self._bar = tqdm(desc=what, total=total, unit=unit, file=sys.stderr, mininterval=every, dynamic_ncols=True)

    def _advance(self, steps: int, text: str) -> None:
        assert self._bar is not None
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(steps)
