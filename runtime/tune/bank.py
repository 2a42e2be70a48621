"""The bank of outcomes: what every question got under every setting that was tried, filled as it is asked for, and kept on disk.

One file a job, JSON lines: what is measured, then a line for each sleep and each outcome, written through as it comes. A killed run loses
at most the answer that it was at; a last line that the kill has torn is left out. Knows nothing about models.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.validated import validated
from nrem.runtime.tune.halving import Sample
from nrem.runtime.tune.rows import Asked, Row, Slept
from nrem.runtime.tune.setting import Setting

Measure = Callable[[Setting, Sequence[int]], Iterable[tuple[int, Asked]]]
"""(setting, numbers of questions) -> outcomes, as they come."""


def _refuse(setting: Setting, questions: Sequence[int]) -> Iterable[tuple[int, Asked]]:
    raise UsageError(f"{setting.name}: question {questions[0] + 1} is not in the bank; measure it with nrem tune")


class Bank:
    """A table (question x setting) of `Asked`; `Outcomes` for `halving`."""

    def __init__(self, path: Path, measure: Measure = _refuse) -> None:
        """Raises `MemoryFolderError` where the file holds something else."""
        self.path, self.measure = path, measure
        self.about: dict[str, Any] = {}
        self.slept: dict[int, Slept] = {}
        self._asked: dict[Setting, dict[int, Asked]] = {}
        self._size = 0
        if path.exists():
            self._read()

    # -- the table ------------------------------------------------------------------------------------------------------------

    def fill(self, setting: Setting, questions: Sequence[int]) -> float:
        """Measure what is missing of a setting on these questions; returns the FET of the answers that were missing."""
        fet = 0.0
        if missing := self.missing(setting, questions):
            for number, asked in self.measure(setting, missing):
                self._asked.setdefault(setting, {})[number] = asked
                self._append({"setting": asdict(setting), "question": number, "asked": asdict(asked)})
                fet += asked.fet
        return fet

    def missing(self, setting: Setting, questions: Sequence[int]) -> list[int]:
        """The questions of which nothing is known."""
        known = self._asked.get(setting, {})
        return [number for number in questions if number not in known]

    def has(self, setting: Setting, count: int) -> bool:
        """Whether a setting was asked all of `count` questions."""
        return not self.missing(setting, range(count))

    def row(self, setting: Setting) -> Row | None:
        """All that is known of a setting, in the order of the questions; None where that is nothing."""
        known = sorted(self._asked.get(setting, {}).items())
        if not known:
            return None
        cost = self.slept.get(setting.passes or 0, Slept()) if setting.passes else Slept()
        return Row(
            passes=setting.passes,
            way=setting.way,
            wording=setting.wording,
            asked=tuple(asked for _, asked in known),
            fet=cost.fet,
            seconds=cost.seconds,
            rolled_back=cost.rolled_back,
            numbers=tuple(number for number, _ in known),
        )

    def rows(self) -> list[Row]:
        """Of all settings of which something is known, in the order in which they were first measured."""
        return [row for setting in self._asked if (row := self.row(setting)) is not None]

    def note_sleep(self, level: int, slept: Slept) -> None:
        """Keep what a sleep to this level costs."""
        self.slept[level] = slept
        self._append({"level": level, "slept": asdict(slept)})

    # -- as halving sees it ---------------------------------------------------------------------------------------------------

    def samples(self, setting: Setting, question: int) -> list[Sample]:
        """F1 in points, and FET of the answer, its share of the sleep left out: that is paid once, whatever is asked."""
        asked = self._asked.get(setting, {}).get(question)
        return [] if asked is None else [Sample(100 * asked.f1, asked.fet)]

    def ask(self, setting: Setting, questions: Sequence[int]) -> float:
        return self.fill(setting, questions)

    def view(self, open_: Iterable[Setting] = ()) -> "View":
        """The bank as a search sees it that begins now; of the settings `open_` it may see everything."""
        return View(self, open_)

    # -- the file -------------------------------------------------------------------------------------------------------------

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what is measured; raises `UsageError` where what is there is of something else."""
        about = json.loads(json_text(about))  # as it comes out of the file
        for key, value in about.items():
            if key in self.about and self.about[key] != value:
                raise UsageError(
                    f"{self.path.parent}: the run there has other {key}; give the same ones to go on, or start again with --force"
                )
        if about.items() <= self.about.items():
            return
        self.about |= about
        sleeps = [{"level": level, "slept": asdict(slept)} for level, slept in self.slept.items()]
        outcomes = [
            {"setting": asdict(setting), "question": number, "asked": asdict(asked)}
            for setting, known in self._asked.items()
            for number, asked in known.items()
        ]
        lines: list[Mapping[str, Any]] = [{"about": self.about}, *sleeps, *outcomes]
        text = "".join(_line(values) for values in lines)
        write_text(self.path, text)
        self._size = len(text.encode())

    def _append(self, values: Mapping[str, Any]) -> None:
        """Through to the operating system, behind the last whole line."""
        line = _line(values).encode()
        with self.path.open("r+b") as file:
            file.seek(self._size)
            file.truncate()
            file.write(line)
        self._size += len(line)

    def _read(self) -> None:
        lines = self.path.read_bytes().splitlines(keepends=True)
        try:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):  # torn; there is no line after it
                    break
                self._take(parse_json(line), number)
                self._size += len(line)
            if not self.about:
                raise ValueError("its first line does not say what was measured")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise MemoryFolderError(f"{self.path}: not the outcomes of a tuning run ({error}); start again with --force") from None

    def _take(self, values: Mapping[str, Any], number: int) -> None:
        if not number:
            self.about = dict(values["about"])
        elif "slept" in values:
            self.slept[int(values["level"])] = validated(Slept, json_text(values["slept"]))
        else:
            setting = validated(Setting, json_text(values["setting"]))
            self._asked.setdefault(setting, {})[int(values["question"])] = validated(Asked, json_text(values["asked"]))


class View:
    """What a search has asked for, at the price that it would have had: a search that goes on after a kill, or is made again, decides as
    one that measured everything itself, and yet nothing is measured twice."""

    def __init__(self, bank: Bank, open_: Iterable[Setting] = ()) -> None:
        self.bank, self.open = bank, frozenset(open_)
        self.fet = 0.0
        """The price of all that was asked for."""
        self._asked: set[tuple[Setting, int]] = set()

    def samples(self, setting: Setting, question: int) -> list[Sample]:
        seen = setting in self.open or (setting, question) in self._asked
        return self.bank.samples(setting, question) if seen else []

    def ask(self, setting: Setting, questions: Sequence[int]) -> float:
        new = [] if setting in self.open else [q for q in questions if (setting, q) not in self._asked]
        self.bank.fill(setting, questions)
        self._asked.update((setting, question) for question in new)
        fet = sum(self.bank.samples(setting, question)[0].fet for question in new)
        self.fet += fet
        return fet


def _line(values: Mapping[str, Any]) -> str:
    return json_text(values, ensure_ascii=False) + "\n"
