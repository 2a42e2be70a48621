"""`think`: a thought before the answer, with a cap and a floor (budget forcing, s1, arXiv 2501.19393).

Decoding is greedy. The cap ends a thought; one that would end by itself before the floor, half of the cap, is told to wait and goes on. A
model that was not trained to think need not gain from it.
"""

from collections.abc import Sequence

from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.search import FoundIfKept
from nrem.runtime.wake.way import Amount, Askable


class Think(FoundIfKept):
    """as search, or as direct where the text was forgotten, with a thought of at most N tokens before the answer"""

    counts = Amount("tokens of thought", usual=32, most=256)

    def answers(self, askable: Askable, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        return askable.ask_all(questions, contexts, askable.think(questions, contexts, self.amount))

    def nlls(self, askable: Askable, pairs: Sequence[tuple[str, str]], contexts: Sequence[str]) -> list[float]:
        """Under the prompt with the thought that the question gets."""
        return askable.nlls(pairs, contexts, askable.think([question for question, _ in pairs], contexts, self.amount))
