"""`again`: extra passes for a question that the memory cannot answer surely (see `sleep_again`)."""

from nrem.runtime.wake.direct import Direct
from nrem.runtime.wake.way import Amount


class Again(Direct):
    """as direct, and where that is not sure enough (answer.sure) after N passes for this question on the chunks that search finds"""

    searches = True
    dear = True
    counts = Amount("passes", usual=2, most=16)

    @property
    def measured_as(self) -> str:
        return "direct"

    @property
    def passes_again(self) -> int:
        return self.amount
