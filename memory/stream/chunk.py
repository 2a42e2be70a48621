"""Chunks: spans of a document, of a bounded number of tokens, cut at paragraph or sentence ends. Knows nothing about models.

The chunks of a document, joined, are the document; the document may be larger than memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Self, get_type_hints

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.stream.dreams import DREAMT, check_dreams
from nrem.memory.stream.nothing import says_nothing
from nrem.memory.stream.sentences import SPACE, End, Unit, leads_on, units

FAIR = 1 / 3
"""A chunk filled to this share may end early, at the end of a paragraph, and the rest of a document should not be smaller."""
LONGEST_TOKEN = 16
"""Characters per token, on average, that no sentence exceeds: a longer run of text is cut without looking for its end."""


class QuestionAnswer(NamedTuple):
    question: str
    answer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A span of a document."""

    document: str
    """Name of the document."""
    title: str
    index: int
    """Position in the memory, from 0, over all of its documents."""
    start: int
    """Offset of the first character in the document."""
    end: int
    """Offset behind the last character."""
    text: str
    num_tokens: int
    dreamt: tuple[QuestionAnswer, ...] = ()
    """What the model asked itself about it, and answered, before it was slept on."""

    def __post_init__(self) -> None:
        check_dreams(self.dreamt)  # so that whatever is kept can be read again

    @property
    def says_nothing(self) -> bool:
        """Whether it is only blank lines, rules, dot leaders or one repeated character: kept as text, and not slept on."""
        return says_nothing(self.text)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without dreams a chunk is what it was before there were any."""
        values = asdict(self) | {DREAMT: [list(asked) for asked in self.dreamt]}
        return values if self.dreamt else {name: value for name, value in values.items() if name != DREAMT}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises `MemoryFolderError`, naming the field, when the values are not those of a chunk."""
        types = {name: kind for name, kind in get_type_hints(cls).items() if name != DREAMT}
        if not isinstance(values, dict) or values.keys() - {DREAMT} != types.keys():
            got = ", ".join(values) if isinstance(values, dict) else type(values).__name__
            raise MemoryFolderError(f"a chunk has the fields {', '.join(types)}, got {got[:200] or 'none'}")
        for name, kind in types.items():
            if type(values[name]) is not kind:
                raise MemoryFolderError(f"the field {name} of a chunk is {kind.__name__}, got {type(values[name]).__name__}")
        if values["end"] - values["start"] != len(values["text"]):
            raise MemoryFolderError(f"a chunk from {values['start']} to {values['end']} cannot have {len(values['text'])} characters")
        check_dreams(dreamt := values.get(DREAMT, []))
        return cls(**{name: values[name] for name in types}, dreamt=tuple(QuestionAnswer(*pair) for pair in dreamt))


class _Sized(NamedTuple):
    """A unit and about how many tokens it adds to a chunk, at least 1."""

    text: str
    end: End
    size: int


def cut_chunks(
    pieces: Iterable[str],
    *,
    count_tokens: Callable[[str], int],
    max_tokens: int,
    document: str,
    title: str = "",
    first_index: int = 0,
) -> Iterator[Chunk]:
    """Cut a text that arrives in pieces; where the pieces end has no influence on where the chunks end.

    A chunk is filled with whole paragraphs, else whole sentences, while they fit. A sentence that fits in a chunk is never cut, a word
    neither; longer ones are. A heading stays with what it is over, where both fit. At most about 64 characters per token of a chunk are
    held at once, and all work is linear: each sentence is tokenised once or twice and each chunk once or twice more.
    Raises `UsageError` for a character that has more than `max_tokens` tokens.
    """
    if max_tokens < 1:
        raise UsageError(f"max_tokens: got {max_tokens}, expected 1 or more")
    source = _sized(units(pieces, longest=max(1000, LONGEST_TOKEN * max_tokens)), count_tokens, max_tokens)
    start, index = 0, first_index
    waiting: list[_Sized] = []
    total, ended = 0, False
    while True:
        while not ended and total <= 2 * max_tokens:
            unit = next(source, None)
            ended = unit is None
            if unit is not None:
                waiting.append(unit)
                total += unit.size
        if not waiting:
            return
        text, num_tokens, waiting = _take(waiting, count_tokens, max_tokens, ended)
        if num_tokens > max_tokens:
            raise UsageError(
                f"{document}: the character {text!r} at {start} has {num_tokens} tokens, expected at most {max_tokens} in a chunk: "
                "raise chunk_tokens"
            )
        total = sum(unit.size for unit in waiting)
        end = start + len(text)
        yield Chunk(document=document, title=title, index=index, start=start, end=end, text=text, num_tokens=num_tokens)
        start, index = end, index + 1


def _take(waiting: list[_Sized], count_tokens: Callable[[str], int], max_tokens: int, ended: bool) -> tuple[str, int, list[_Sized]]:
    """The next chunk's text, its tokens, and the units that still wait. Only a single character can have too many tokens."""
    limit, cut = max_tokens, len(waiting)
    if not ended:
        cut = _cut(waiting, limit)
    while True:
        text = "".join(unit.text for unit in waiting[:cut])
        num_tokens = count_tokens(text)
        if num_tokens <= max_tokens or len(text) == 1:
            return text, num_tokens, waiting[cut:]
        if cut == 1:
            waiting = [*_split(waiting[0], num_tokens, max_tokens), *waiting[1:]]
            cut = _cut(waiting, limit)
            continue
        if cut < len(waiting):  # joined text can have a few more tokens than its parts
            limit -= num_tokens - max_tokens
        cut = min(cut - 1, _cut(waiting, limit))


def _cut(waiting: list[_Sized], limit: int) -> int:
    """How many units to take: to the last paragraph end that is fair to both sides, else to the last sentence end, and so on; not between a
    heading and what it is over."""
    filled = 0
    best, best_rank = 1, (0, False, 0)
    for cut, (unit, rest) in enumerate(zip(waiting, _rests(waiting), strict=True), 1):
        filled += unit.size
        if filled > limit:
            break
        fair = min(filled, rest) >= FAIR * limit
        worth = unit.end - (not fair and unit.end in (End.LINE, End.PARAGRAPH))
        if rest and unit.end >= End.SENTENCE and unit.size + waiting[cut].size <= limit:
            alone = cut == 1 or waiting[cut - 2].text.endswith("\n")
            worth = End.SPACE if leads_on(unit.text, alone=alone) else worth
        rank = (worth, fair, filled)
        if rank > best_rank:
            best, best_rank = cut, rank
    return best


def _rests(waiting: list[_Sized]) -> list[int]:
    """For a cut behind each unit, the tokens of what it leaves over: of all that waits, or of the sentence that it goes through."""
    total, sentence, rests = 0, 0, []
    for unit in reversed(waiting):
        if unit.end >= End.SENTENCE:
            sentence = 0
        rests.append(total if unit.end >= End.SENTENCE else sentence)
        total, sentence = total + unit.size, sentence + unit.size
    return rests[::-1]


def _sized(source: Iterable[Unit], count_tokens: Callable[[str], int], max_tokens: int) -> Iterator[_Sized]:
    """Measure units, in parts where one does not fit in a chunk.

    White space is counted with the word behind it, as tokenizers do: then the sum over the units is close to the tokens of the whole.
    """
    gap = ""
    for unit in source:
        parts = [_Sized(*unit, size=1)]
        while parts:
            part = parts.pop()
            body = part.text.rstrip()
            size = count_tokens(gap + body)
            if 2 * size > max_tokens and len(part.text) > 1 and (exact := count_tokens(part.text)) > max_tokens:
                parts += reversed(_split(part, exact, max_tokens))
                continue
            gap = part.text[len(body) :]
            yield part._replace(size=max(1, size))


def _split(unit: _Sized, num_tokens: int, max_tokens: int) -> list[_Sized]:
    """Parts of about an eighth of a chunk: cut at line ends, else at white space; a word is cut anywhere, when it is alone."""
    text, size = unit.text, max(1, max_tokens // 8)
    length = max(1, len(text) * max_tokens // (8 * num_tokens))
    cuts = [0]
    while cuts[-1] < len(text):
        cuts.append(_space(text, cuts[-1], cuts[-1] + length))
    word = len(cuts) == 2
    if word and text.rstrip() not in ("", text):
        cuts, word = [0, len(text.rstrip()), len(text)], False
    elif word:
        cuts = [*range(0, len(text), length), len(text)]
    ends = [End.WORD if word else End.LINE if text[cut - 1] == "\n" else End.SPACE for cut in cuts[1:]]
    parts = [_Sized(text[start:stop], end, size) for (start, stop), end in zip(pairwise(cuts), ends, strict=True)]
    return [*parts[:-1], parts[-1]._replace(end=unit.end)]


def _space(text: str, start: int, stop: int) -> int:
    """The last line end within `text[start:stop]`, else the end of the last white space, else of the next white space."""
    if stop >= len(text):
        return len(text)
    if (line := text.rfind("\n", start, stop)) >= 0:
        return line + 1
    for cut in range(stop, start, -1):
        if text[cut - 1].isspace():
            return cut
    gap = SPACE.search(text, stop)
    return gap.end() if gap else len(text)
