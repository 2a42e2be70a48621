"""What the documents promise, in a form that can be held to the program: their commands, and the numbers that name a record.

A number names its record in a comment behind its paragraph or table:

    <!-- numbers: benchmarks/results/FILE.json path.to.key=0.51; other.key=52 %, a.list.0=~11,900 -->

Each value must be in the record as it is written, to the digits that are shown (`52 %` is 0.52; with `~` an integer is rounded to its last
digit that is not 0), and must stand in the paragraph just before.
"""

import json
import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from nrem.consolidation.train.asker_trainer import AskerConfig
from nrem.consolidation.train.trainer import TrainConfig
from nrem.memory.errors import NremError
from nrem.runtime.commands.main import COMMANDS, make_app
from nrem.runtime.config import Config, load_config, resolve, setting_layers

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
NUMBERS = re.compile(r"<!--\s*numbers:\s*(\S+)\s+(.*?)\s*-->", re.DOTALL)
FENCE = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`((?:nrem|make|python -m) [^`]+)`")
PROGRAM: Any = typer.main.get_command(make_app(COMMANDS))


def commands_in(text: str) -> list[tuple[list[str], bool]]:
    """Every command in a Markdown text as words, and whether it is whole: those of code blocks are, those within a sentence may be cut."""
    found = []
    for block in FENCE.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        shown = [line for line in lines if line.startswith("$ ")]  # the others are what these print
        for line in shown or lines:
            for part in line.removeprefix("$ ").split(" | "):
                if words := _words(part):
                    found.append((words, True))
    return found + [(words, False) for span in SPAN.findall(FENCE.sub("", text)) if (words := _words(span))]


def _words(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    if words[:3] == ["python", "-m", "nrem"]:
        words = ["nrem", *words[3:]]
    if words and words[0].endswith("bin/nrem"):
        words = ["nrem", *words[1:]]
    return words if words[:1] in (["nrem"], ["make"]) or words[:2] == ["python", "-m"] else []


def command_problem(words: list[str], *, whole: bool) -> str:
    """Why the program would not take this; empty where it would."""
    line = shlex.join(words)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        return next((f"{line}: no target {word}" for word in words[1:] if word not in targets), "")
    if words[0] == "python":
        return _module_problem(words[2], words[3:])
    name, arguments = (words[1] if len(words) > 1 else "", words[2:])
    if name.startswith("-") or not name:
        return ""
    if name not in PROGRAM.commands:
        return f"{line}: no command {name}"
    command = PROGRAM.commands[name]
    if whole:
        try:
            command.make_context(name, list(arguments))
        except Exception as error:
            return f"{line}: {error.format_message() if hasattr(error, 'format_message') else error}"
    flags = {"--help", *(flag for parameter in command.params for flag in parameter.opts)}
    for word in arguments:
        if word.startswith("-") and word != "-" and word.split("=")[0] not in flags:
            return f"{line}: no flag {word}"
    return _settings_problem(name, arguments)


def _settings_problem(name: str, arguments: list[str]) -> str:
    kind: type = {"train-protocol": TrainConfig, "train-asker": AskerConfig}.get(name, Config)
    for flag, value in pairwise(arguments):
        try:
            if flag == "--set" and "..." not in value and not value.isupper():
                resolve(kind, setting_layers([value]))
            if flag == "--config" and not value.endswith(".toml"):
                load_config(value)
        except NremError as error:
            if "unknown key" in str(error) or flag == "--config":
                return str(error)
    return ""


def _module_problem(module: str, arguments: list[str]) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return f"python -m {module}: no such module"
    if not module.startswith("benchmarks."):
        return ""
    source = "".join(path.read_text(encoding="utf-8") for path in (Path(spec.origin), ROOT / "benchmarks" / "harness" / "common.py"))
    return next((f"python -m {module}: no flag {word}" for word in arguments if word.startswith("--") and f'"{word}"' not in source), "")


def number_problems(text: str, root: Path = ROOT) -> Iterator[str]:
    """What is wrong with the numbers of a Markdown text."""
    for comment in NUMBERS.finditer(text):
        file, pairs = comment[1], comment[2]
        try:
            record = json.loads((root / file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            yield f"{file}: no record ({error})"
            continue
        paragraph = _paragraph_before(text, comment.start())
        for pair in re.split(r"[,;]\s+", pairs):
            path, equals, written = (part.strip() for part in pair.partition("="))
            if not equals or not re.search(r"\d", written):
                yield f"{file}: expected path.to.key=NUMBER, got {pair!r}"
                continue
            shown = written.lstrip("~")
            if not re.search(rf"(?<![\d.,]){re.escape(shown)}(?!\d|[.,]\d)", paragraph):
                yield f"{file}: {path} is {shown} here, which does not stand in the paragraph before"
            try:
                value = value_at(record, path.split("."))
            except KeyError:
                yield f"{file}: no {path}"
                continue
            if not isinstance(value, int | float) or not agrees(value, written):
                yield f"{file}: {path} is {value}, the document says {shown}"


def _paragraph_before(text: str, position: int) -> str:
    """The lines without a gap that end before a comment; other such comments may lie between."""
    return re.split(r"\n\s*\n", NUMBERS.sub("", text[:position]).rstrip())[-1]


def value_at(record: Any, path: list[str]) -> Any:
    """What lies under this path; a key may itself have dots, an element of a list goes by its number. Raises `KeyError`."""
    if not path:
        return record
    if isinstance(record, list):
        if path[0].isdigit() and int(path[0]) < len(record):
            return value_at(record[int(path[0])], path[1:])
        raise KeyError(path[0])
    for end in range(len(path), 0, -1):
        if isinstance(record, dict) and (key := ".".join(path[:end])) in record:
            return value_at(record[key], path[end:])
    raise KeyError(path[0])


def agrees(value: float, written: str) -> bool:
    """Whether a value is what is written, to the digits that are shown.

    >>> agrees(0.5149, "0.51"), agrees(0.5149, "51 %"), agrees(11873, "~11,900"), agrees(11873, "11,900"), agrees(0.52, "0.51")
    (True, True, True, False, False)
    """
    number = written.lstrip("~").rstrip(" %").replace(",", "")
    decimals = len(number.partition(".")[2])
    step = 10.0**-decimals
    if written.startswith("~") and not decimals:
        step = 10.0 ** (len(number) - len(number.rstrip("0")))
    shown = value * 100 if written.endswith("%") else value
    return abs(shown - float(number)) <= step / 2 * (1 + 1e-9)
