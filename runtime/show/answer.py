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
    @property
    def stated(self) -> bool: ...
    @property
    def thought_tokens(self) -> int: ...
    @property
    def votes(self) -> int: ...
    @property
    def agreement(self) -> float: ...
    @property
    def passes(self) -> int: ...


class Passage(Protocol):
    """What is shown of a text that an answer leans on."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> str: ...


NOT_SAID = "the document does not seem to say"


@dataclass(frozen=True)
class AskedRow:
    """One question: what was expected, and what each arm said and scored."""

    question: str
    expected: str
    said: dict[str, str]
    f1: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {"question": self.question, "expected": self.expected, "answers": self.said, "f1": self.f1}


def answer_line(answer: Answered) -> str:
    """The answer, in one line; in words where the document does not say it."""
    return plain(answer.answer) if answer.stated else NOT_SAID


def answer_lines(answer: Answered, sure: float, *, places: bool = True) -> str:
    """How sure an answer is, in words where it is not, how it was found, what that cost, and the places that it leans on."""
    doubt = "" if answer.confidence >= sure else "not sure: "
    right = f"{doubt}right with probability {answer.confidence:.2f}; " if answer.stated else ""
    out = [f"  {right}way {answer.way}{_spent(answer)}, {answer.fet:,.0f} FET (tokens' worth of reading)"]
    return "\n".join([*out, *(f"  leans on {_place(place)}" for place in answer.leans_on if places)])


def why_lines(answer: Answered, passages: Sequence[Passage]) -> str:
    """Where the answer comes from: each place with the part of its text that has most to do with it, shortened."""
    if not answer.leans_on:
        return "  leans on no text: the memory alone"
    out = []
    for place, passage in zip(answer.leans_on, passages, strict=True):
        before = "[...] " if passage.start > place["start"] else ""
        after = " [...]" if passage.end < place["end"] else ""
        out += [f"  {_place(place)}:", f"    {before}{plain(passage.text).strip()}{after}"]
    return "\n".join(out)


def _spent(answer: Answered) -> str:
    """What a way did beside answering."""
    thought = f", {answer.thought_tokens} tokens thought" if answer.thought_tokens else ""
    votes = f", {100 * answer.agreement:.0f} % of {answer.votes} votes" if answer.votes else ""
    return thought + votes + (f", {answer.passes} passes again" if answer.passes else "")


def _place(place: dict[str, Any]) -> str:
    heading = f", under {plain(str(place['heading']))!r}" if place["heading"] else ""
    return f"chunk {place['chunk']} of {plain(str(place['document']))}, characters {place['start']:,} to {place['end']:,}{heading}"


def questions_table(rows: Sequence[AskedRow]) -> Table:
    """Every question with its answer under every arm; what is right (F1 of 1) is bold, what is partly right is plain, the rest dim."""
    arms = list(rows[0].said) if rows else []
    table = plain_table("question", "expected", *arms)
    for row in rows:
        cells = [Text(plain(row.said[arm]), style="bold" if row.f1[arm] == 1 else "" if row.f1[arm] else "dim") for arm in arms]
        table.add_row(Text(plain(row.question)), Text(plain(row.expected)), *cells)
    return table
