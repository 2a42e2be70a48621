"""A bar on stderr for questions that are asked in great number, where stderr is a terminal. Knows nothing about what is asked."""

import sys
from typing import Any

from tqdm import tqdm


class AskBar:
    """Hears how many answers there are, and about how many there will be."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None

    def __call__(self, done: int, of: int) -> None:
        """Show one count; the first makes the bar, which starts from what was there already."""
        if not self._shown:
            return
        if self._bar is None:
            self._bar = tqdm(desc="answers", total=of, initial=done, file=sys.stderr, leave=False, dynamic_ncols=True, smoothing=0.05)
        self._bar.total = of
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
