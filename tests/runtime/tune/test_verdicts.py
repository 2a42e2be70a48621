"""Verdicts in words: what pays, what hurts, and what cannot be told."""

from collections.abc import Sequence

from nrem.runtime.tune.rows import Asked, Row
from nrem.runtime.tune.verdicts import verdicts


def row(
    passes: int | None,
    right: int,
    way: str = "direct",
    *,
    fet: float = 50.0,
    numbers: Sequence[int] = range(40),
    wording: str = "{question}",
) -> Row:
    """A row whose first `right` questions of 40 were answered."""
    asked = tuple(Asked(id=str(n), answer="a", nll=1.0, f1=float(n < right), em=0.0, fet=fet, seconds=0.1) for n in numbers)
    return Row(passes=passes, way=way, wording=wording, asked=asked, numbers=tuple(numbers))


ROWS = [
    row(0, 4),
    row(2, 20),
    row(0, 30, "search", fet=250),
    row(2, 31, "search", fet=250),
    row(2, 12, "vote:3", fet=750),
    row(2, 10, "vote:5", fet=1250),
    row(2, 20, wording="In short: {question}"),
    row(None, 40, fet=2000),
]


def test_every_axis_gets_its_sentence() -> None:
    said = verdicts(ROWS)
    assert said[0].startswith("passes pay here: 2 passes against 0 passes +40.0 points (+25.0 to +55.0); 40 questions")
    assert said[1].startswith("passes do not pay here with search: 2 passes, search against 0 passes, search +2.5 points (+0.0 to")
    [votes] = [s for s in said if s.startswith("votes")]
    assert votes.startswith("votes hurt here: 2 passes, vote:3 against 2 passes, search at best -47.5 points (")
    assert votes.endswith(", at 3.0 times the price of an answer; 40 questions")
    [search] = [s for s in said if s.startswith("search")]
    assert search.startswith("search pays here: 0 passes, search against 0 passes at best +65.0 points")
    [wording] = [s for s in said if s.startswith("another wording")]
    assert wording.startswith("another wording does not pay here: 2 passes, asked as 'In short: {question}' against 2 passes +0.0 points")
    assert len(said) == 5


def test_text_beside_the_adapter_is_a_search_too() -> None:
    rows = [row(0, 4), row(2, 10), row(0, 30, "ensemble", fet=250), row(2, 36, "ensemble", fet=250), row(2, 36, "vote:3", fet=750)]
    said = verdicts(rows)
    [search] = [s for s in said if s.startswith("search")]
    assert search.startswith("search pays here: 0 passes, ensemble against 0 passes at best +65.0 points")
    [votes] = [s for s in said if s.startswith("votes")]
    assert votes.startswith("votes do not pay here: 2 passes, vote:3 against 2 passes, ensemble +0.0 points")


def test_only_questions_that_both_were_asked_are_compared() -> None:
    said = verdicts([row(0, 0), row(2, 40, numbers=range(10, 16))])
    assert said == ["passes pay here: 2 passes against 0 passes +100.0 points (+100.0 to +100.0); 6 questions"]


def test_what_was_not_tried_is_not_judged() -> None:
    assert verdicts([row(0, 4), row(None, 40)]) == []
    assert verdicts([row(2, 4, "vote:3")]) == []
