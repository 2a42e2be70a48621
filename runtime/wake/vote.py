"""`vote`: the answer that is drawn most often, with as few draws as it takes (adaptive consistency, arXiv 2305.11860).

Drawing stops when the posterior probability that the leading answer beats the runner-up, under a uniform prior, is `SURE`. Answers are
compared without regard to case, punctuation and articles. The prompt is read once.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from math import comb

from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.normal import normalise
from nrem.runtime.wake.search import FoundIfKept
from nrem.runtime.wake.way import Amount, Askable

SURE = 0.95
"""Probability that the leading answer is ahead, from which drawing stops."""


class Vote(FoundIfKept):
    """as search, or as direct where the text was forgotten, the most frequent of at most N sampled answers"""

    counts = Amount("votes at most", usual=5, most=64)

    def answers(self, askable: Askable, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        """`nlls`, the default one, are those of the prompt: a given answer has no votes."""
        first = min(self.amount, FEWEST)
        together = [first] + [1] * (self.amount - first)
        return [elect(askable.draw(question, context, together)) for question, context in zip(questions, contexts, strict=True)]


def elect(votes: Iterable[Answer]) -> Answer:
    """The first of the most frequent answers, at the price of all that were drawn; draws no more than it takes."""
    cast: list[Answer] = []
    for vote in votes:
        cast.append(vote)
        if ahead(*leading(cast)) >= SURE:
            break
    ballots = [normalise(vote.answer) for vote in cast]
    winner, most = Counter(ballots).most_common(1)[0]  # the first of equals
    return replace(
        cast[ballots.index(winner)],
        fet=round(sum(vote.fet for vote in cast), 1),
        seconds=sum(vote.seconds for vote in cast),
        votes=len(cast),
        agreement=round(most / len(cast), 4),
    )


def leading(cast: Sequence[Answer]) -> tuple[int, int]:
    """Votes of the leading answer and of the runner-up."""
    counts = [*(number for _, number in Counter(normalise(vote.answer) for vote in cast).most_common(2)), 0]
    return counts[0], counts[1]


def ahead(leader: int, other: int) -> float:
    """P(x > 1/2) for x ~ Beta(leader + 1, other + 1), as a sum over coin tosses.

    >>> round(ahead(4, 0), 3), round(ahead(3, 0), 3), ahead(2, 2)
    (0.969, 0.938, 0.5)
    """
    tosses = leader + other + 1
    return sum(comb(tosses, heads) for heads in range(leader + 1)) / 2**tosses


FEWEST = next(number for number in count(1) if ahead(number, 0) >= SURE)
"""Votes before which drawing never stops: so many are drawn together."""
