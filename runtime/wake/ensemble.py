"""`ensemble`: text and adapter as witnesses of one document (see `witnesses`)."""

from nrem.runtime.wake.read import Read
from nrem.runtime.wake.way import Say


class Ensemble(Read):
    """read, search and what the adapter says by itself, weighed token by token"""

    say = Say(with_text=0.3, alone=0.25)
    """Flat around these numbers (benchmarks/LOG.md)."""
