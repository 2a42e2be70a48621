"""The ways of answering that there are. A way is one file and one row here; settings, help texts, arms of evaluations and tests follow."""

from nrem.memory.arguments import check_kind
from nrem.memory.errors import UsageError
from nrem.runtime.wake.again import Again
from nrem.runtime.wake.direct import Direct
from nrem.runtime.wake.ensemble import Ensemble
from nrem.runtime.wake.read import Read
from nrem.runtime.wake.search import Search
from nrem.runtime.wake.think import Think
from nrem.runtime.wake.vote import Vote
from nrem.runtime.wake.way import Way

WAYS: dict[str, type[Way]] = {
    "direct": Direct,
    "read": Read,
    "search": Search,
    "ensemble": Ensemble,
    "think": Think,
    "vote": Vote,
    "again": Again,
}
ROUTER = "router"
"""Whichever of them gains most for a question, by what `nrem calibrate` has measured."""
ROUTED = f"{ROUTER}: what gains most for the question, after nrem calibrate"
AUTO = "auto"
"""`ensemble` where the text was kept, but `read` where it is one chunk: there search cannot miss, and the adapter has nothing to add
(docs/results.md); `search` with a protocol that no longer ships, whose reader only the adapter has. `direct` where the text was forgotten;
`again` where the earlier setting `answer.sleep_again` wants it."""
AUTO_IN_WORDS = f"{AUTO}: ensemble where the text was kept, read where it is one chunk, direct where it was forgotten"


def ways_in_words() -> str:
    """What each way does and what its amount is, for help texts."""
    return "; ".join([*(_in_words(name, way) for name, way in WAYS.items()), AUTO_IN_WORDS, ROUTED])


def _in_words(name: str, way: type[Way]) -> str:
    counts = way.counts
    amount = f" (N 1 to {counts.most}, {counts.usual} where none is given)" if counts else ""
    return f"{name}{'[:N]' if counts else ''}: {(way.__doc__ or '').strip()}{amount}"


def parse_way(wanted: str) -> Way:
    """The way of `NAME` or `NAME:AMOUNT`; raises `UsageError` where there is no such way, or not with this amount."""
    check_kind("way", wanted, str, f"{AUTO}, {ROUTER} or one of {', '.join(WAYS)}")
    name, colon, number = wanted.partition(":")
    if name not in WAYS:
        raise UsageError(f"way: got {wanted[:60]!r}, expected {AUTO}, {ROUTER} or one of {', '.join(WAYS)}")
    if not colon:
        return WAYS[name](name)
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        counts = WAYS[name].counts
        raise UsageError(f"way: got {wanted[:60]!r}, expected {f'a whole number as in {name}:{counts.usual}' if counts else name}")
    return WAYS[name](name, int(number))


def resolve_way(wanted: str, *, kept: int, again: int, memory: str, retired: bool = False) -> Way:
    """The way that is gone: `kept` is how many chunks of its text the memory has, `again` the passes of `answer.sleep_again`, `memory` how
    it is called, `retired` whether its protocol's reader is left in its adapters only. Raises `UsageError` where there is no such way, or
    nothing to search."""
    if wanted == ROUTER:  # it begins with the direct answer, and can do without the text
        wanted = "direct"
    if wanted == AUTO:
        beside_text = "search" if retired else "read" if kept == 1 else "ensemble"
        wanted = "direct" if not kept else f"again:{again}" if again else beside_text
    way = parse_way(wanted)
    if way.searches and not kept:
        raise UsageError(f"way {wanted}: {memory} has forgotten its text, and there is nothing to search; answer with direct")
    return way
