"""The ways of answering that there are. A way is one file and one row here; settings, help texts, arms of evaluations and tests follow."""

from nrem.runtime.wake.direct import Direct
from nrem.runtime.wake.read import Read
from nrem.runtime.wake.search import Search
from nrem.runtime.wake.way import Way

WAYS: dict[str, type[Way]] = {
    "direct": Direct,
    "read": Read,
    "search": Search,
}
AUTO = "auto"
"""`search` where the text was kept, else `direct`; `direct` also where unsure answers are to sleep again."""


def ways_in_words() -> str:
    """What each way does, for help texts."""
    return "; ".join([*(f"{name}: {(way.__doc__ or '').strip()}" for name, way in WAYS.items()), f"{AUTO}: search where the text was kept"])
