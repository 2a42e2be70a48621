"""Flags that several commands share, and how a command prints and fails."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Optional

import typer

from nrem.memory.saved.json_text import json_text
from nrem.runtime.commands.quiet import debugging
from nrem.runtime.commands.streams import is_utf8
from nrem.runtime.show.plain import plain
from nrem.runtime.wake.ways import ways_in_words

if TYPE_CHECKING:
    from nrem.memory.saved.record import MemoryRecord
    from nrem.runtime.config import Flags

MemoryArgument = Annotated[Path, typer.Argument(metavar="MEMORY", help="A memory's folder.", show_default=False)]
ModelOption = Annotated[
    Optional[str],  # noqa: UP045 - read by typer
    typer.Option("--model", metavar="M", help="smollm2-135m, a Hugging Face id, a folder or a .gguf file.", show_default=False),
]
ConfigOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--config", metavar="F", help="A preset (default, fast, gpu-4bit) or a TOML file.", show_default=False),
]
AskingOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--config", metavar="F", help="A preset or a TOML file, such as tune writes: what it says about asking.", show_default=False
    ),
]
SetOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", metavar="A.B=C", help="Set one key of the configuration; may be given often.", show_default=False),
]
WayOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--way", metavar="WAY", help=f"How to answer. {ways_in_words()}.", show_default=False),
]
PassesOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--passes", metavar="N", min=0, help="The same number of passes for every chunk.", show_default=False),
]
DreamsOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--dreams",
        metavar="N",
        min=0,
        help="Questions that the model asks itself about every sentence first (2); 0 sleeps some three times as fast on a CPU.",
        show_default=False,
    ),
]
BudgetOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--budget", metavar="B", help="Cap on all that is computed: 400kFET, 1.5M or 90s.", show_default=False),
]
OutOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", "-o", metavar="MEMORY", help="Default: the same folder.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def fail(sentence: str, code: int = 1) -> NoReturn:
    """One sentence on stderr, and exit."""
    if debugging() and sys.exc_info()[0] is not None:
        raise  # the error at hand, with its traceback
    with suppress(OSError, ValueError):  # a stream that is closed or full changes no exit code
        print(f"nrem: {plain(sentence)}", file=sys.stderr, flush=True)
    sys.exit(code)


def print_json(values: Any) -> None:
    print(json_text(values, ensure_ascii=not is_utf8(sys.stdout)), flush=True)


def print_memory(record: "MemoryRecord", folder: Path, *, as_json: bool) -> None:
    """What a command that makes or changes a memory ends with."""
    from nrem.runtime.show.hypnogram_text import hypnogram_text
    from nrem.runtime.show.memory import console, sleep_report, summary

    if as_json:
        print_json(summary(record, folder))
    else:
        screen = console()
        screen.print(hypnogram_text(record, screen.width))
        print(sleep_report(record, folder))


def numbers(text: str, flag: str) -> list[int]:
    """`0,1,2` as whole numbers; raises `UsageError`, naming the flag."""
    from nrem.memory.errors import UsageError

    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = [-1]
    if min(found) < 0:
        raise UsageError(f"{flag}: got {text[:60]!r}, expected whole numbers from 0, such as 0,1,2,4,8")
    return found


def target_of(memory: Path, out: Path | None) -> Path:
    """Where a changed memory goes: over the old one, or to a new place, where nothing may be. A symbolic link is followed."""
    from nrem.memory.saved.files import MEMORY
    from nrem.memory.saved.target import check_target, real_target

    target = real_target(out or memory)
    if out is not None or (target / MEMORY).exists():  # else opening it says what it is
        check_target(target, force=out is None)
    return target


def way_flag(way: str | None) -> "Flags":
    return {} if way is None else {"--way": {"answer": {"way": way}}}


def passes_flag(count: int | None) -> "Flags":
    return {} if count is None else {"--passes": {"sleep": {"passes": count, "allocator": "uniform"}}}


def dreams_flag(count: int | None) -> "Flags":
    return {} if count is None else {"--dreams": {"dreams": {"per_sentence": count}}}


def budget_flag(text: str | None) -> "Flags":
    if text is None:
        return {}

    from nrem.consolidation.budget import parse_budget

    budget = parse_budget(text)
    return {"--budget": {"sleep": {"budget_fet": budget.fet, "budget_seconds": budget.seconds}}}


def model_flag(name: str | None) -> "Flags":
    return {} if name is None else {"--model": {"model": {"name": name}}}
