"""`read`: the control of `search`, what the text alone is worth."""

from nrem.runtime.wake.search import Search


class Read(Search):
    """the same prompt as search, the adapter off"""

    adapter = False
