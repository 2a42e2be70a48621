"""Talking with a saved memory: it is opened on its base model, asked, and chatted with. Knows nothing about flags."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from nrem.memory.errors import MemoryFolderError, NremError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.stamp import stamp_of
from nrem.runtime.config import Flags
from nrem.runtime.models.load import Base
from nrem.runtime.readers.source import typed
from nrem.runtime.show.answer import answer_line
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.wake import Wake
from nrem.runtime.without_effect import without_effect_on_answers

GOODBYE = ("exit", "quit")


def open_wake(folder: Path, settings: Sequence[str] = (), flags: Flags | None = None, base: Base | None = None) -> Wake:
    """Awake with a saved memory; a damaged one is refused before the model is loaded, unless `base` is. What was set in vain is said on
    stderr."""
    wake = Wake.open(Memory.load(folder), base, settings=settings, flags=flags)
    for sentence in without_effect_on_answers(wake.config, wake.protocol):
        print(f"nrem: {sentence}", file=sys.stderr)
    return wake


def ask_each(wake: Wake, questions: Iterable[str]) -> Iterator[Answer]:
    """Answers in order, a batch of them as soon as it is there."""
    asked = False
    for batch in _batches((q.strip() for q in questions if q.strip()), wake.config.answer.batch_size):
        if is_another(wake.memory):
            raise MemoryFolderError(f"{wake.memory.name}: was changed or deleted while it was asked; ask again")
        yield from wake.answers(batch)
        asked = True
    if not asked:
        raise UsageError("question: got none; ask something, or give - and one question a line on standard input")


def _batches(questions: Iterable[str], size: int) -> Iterator[list[str]]:
    """So many at a time; where one cannot be asked, those in front of it come first."""
    batch: list[str] = []
    try:
        for question in questions:
            batch.append(question)
            if len(batch) == size:
                yield batch
                batch = []
    except UsageError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def is_another(memory: Memory) -> bool:
    """Whether what was opened from a folder lies there no more: what somebody has had forgotten must not be answered from."""
    return memory.folder is not None and memory.folder.resolve() in memory.origins and (memory.changed() or stamp_of(memory.folder) is None)


def chat(wake: Wake, reopen: Callable[[Base], Wake] | None = None) -> None:
    """Answer a line at a time, until `exit` or the end of input. Every question stands by itself. A memory that somebody changes meanwhile
    is opened anew by `reopen`, which is told."""
    for line in _lines():
        if line.strip().lower() in GOODBYE:
            return
        if not line.strip():
            continue
        try:
            if reopen and is_another(wake.memory):
                wake = reopen(wake.base)
                print(f"nrem: {wake.memory.name} was changed meanwhile, and opened anew", file=sys.stderr)
            print(answer_line(wake.answer(line)), flush=True)
        except NremError as error:
            print(f"nrem: {error}", file=sys.stderr)


def _lines() -> Iterator[str]:
    """Lines of standard input; a person gets a prompt and a line editor."""
    if not (lines := typed()).isatty():
        yield from lines
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - editing and history for input()
    while True:
        try:
            yield input("> ")
        except EOFError:
            print(file=sys.stderr)
            return
