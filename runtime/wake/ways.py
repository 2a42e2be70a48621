"""The ways of answering that there are. A way is one file and one row here; settings, help texts, arms of evaluations and tests follow."""

from nrem.memory.errors import UsageError
from nrem.runtime.wake.direct import Direct
from nrem.runtime.wake.read import Read
from nrem.runtime.wake.search import Search
from nrem.runtime.wake.way import Way

WAYS: dict[str, type[Way]] = {
    "direct": Direct,
    "read": Read,
    "search": Search,
}
ROUTER = "router"
"""Whichever of them gains most for a question, by what `nrem calibrate` has measured."""
AUTO = "auto"
"""`search` where the text was kept, else `direct`; `direct` also where unsure answers are to sleep again."""


def ways_in_words() -> str:
    """What each way does, for help texts."""
    own = [f"{AUTO}: search where the text was kept", f"{ROUTER}: what gains most for the question, after nrem calibrate"]
    return "; ".join([*(f"{name}: {(way.__doc__ or '').strip()}" for name, way in WAYS.items()), *own])


def resolve_way(wanted: str, *, kept: bool, again: bool, memory: str) -> str:
    """The name of the way that is gone: `kept` is whether the memory has its text, `again` whether unsure answers sleep again, `memory` how
    it is called. Raises `UsageError` where there is no such way, or nothing to search."""
    if wanted == AUTO:
        return "search" if kept and not again else "direct"
    if wanted == ROUTER:  # it begins with the direct answer, and can do without the text
        return "direct"
    if wanted not in WAYS:
        raise UsageError(f"way: got {wanted!r}, expected {AUTO}, {ROUTER} or one of {', '.join(WAYS)}")
    if WAYS[wanted].searches and not kept:
        raise UsageError(f"way {wanted}: {memory} has forgotten its text, and there is nothing to search; answer with direct")
    return wanted
