"""What a person sees of answers: how sure one is and what it leans on, and a list of questions with what every way said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.table import Table
from rich.text import Text

from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.plain import plain


class Answered(Protocol):
    """What is shown of an answer."""

    @property
    def answer(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def way(self) -> str: ...
    @property
    def fet(self) -> float: ...
    @property
    def leans_on(self) -> Sequence[dict[str, Any]]: ...


@dataclass(frozen=True)
class AskedRow:
    """One question: what was expected, and what each arm said and scored."""

    question: str
    expected: str
    said: dict[str, str]
    f1: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {"question": self.question, "expected": self.expected, "answers": self.said, "f1": self.f1}


def answer_lines(answer: Answered, sure: float) -> str:
    """How sure an answer is, in words where it is not, how it was found and what that cost."""
    doubt = "" if answer.confidence >= sure else "not sure: "
    out = [f"  {doubt}right with probability {answer.confidence:.2f}; way {answer.way}, {answer.fet:,.0f} FET (tokens' worth of reading)"]
    for place in answer.leans_on:
        heading = f", under {plain(str(place['heading']))!r}" if place["heading"] else ""
        where = f"{plain(str(place['document']))}, characters {place['start']:,} to {place['end']:,}"
        out.append(f"  leans on chunk {place['chunk']} of {where}{heading}")
    return "\n".join(out)


def questions_table(rows: Sequence[AskedRow]) -> Table:
    """Every question with its answer under every arm; what is right (F1 of 1) is bold, what is partly right is plain, the rest dim."""
    arms = list(rows[0].said) if rows else []
    table = plain_table("question", "expected", *arms)
    for row in rows:
        cells = [Text(plain(row.said[arm]), style="bold" if row.f1[arm] == 1 else "" if row.f1[arm] else "dim") for arm in arms]
        table.add_row(Text(plain(row.question)), Text(plain(row.expected)), *cells)
    return table
