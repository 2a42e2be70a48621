"""Wake: a saved memory is opened on its base model, asked, and chatted with. Knows nothing about flags."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from nrem.consolidation.events import Listener, ignore
from nrem.memory.errors import NremError, UsageError
from nrem.memory.memory import Memory
from nrem.runtime.config import config_from_dict
from nrem.runtime.parts import load_base
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answer

GOODBYE = ("exit", "quit")


def open_session(folder: Path, settings: Sequence[str] = (), listener: Listener = ignore) -> Session:
    """A session that answers from a saved memory; `settings` go over the configuration that was saved with it.

    Raises what `Memory.load`, `load` and `Memory.check_base` raise; a damaged memory is refused before the model is loaded.
    """
    memory = Memory.load(folder)
    config = config_from_dict(memory.record.config, settings)
    return Session(memory, base=load_base(config), config=config, listener=listener)


def ask_each(session: Session, questions: Iterable[str]) -> Iterator[Answer]:
    """Answers in order; one question by itself, more of them in batches, each batch as soon as it is there."""
    asked = (q.strip() for q in questions if q.strip())
    first = list(islice(asked, session.config.answer.batch_size))
    if not first:
        raise UsageError("question: got none; ask something, or give - and one question a line on standard input")
    while first:
        yield from session.answers(first) if len(first) > 1 else [session.answer(first[0])]
        first = list(islice(asked, session.config.answer.batch_size))


def chat(session: Session) -> None:
    """Answer a line at a time, until `exit` or the end of input. Every question stands by itself."""
    for line in _lines():
        if line.strip().lower() in GOODBYE:
            return
        if not line.strip():
            continue
        try:
            print(session.answer(line).answer, flush=True)
        except NremError as error:
            print(f"nrem: {error}", file=sys.stderr)


def _lines() -> Iterator[str]:
    """Lines of standard input; a person gets a prompt and a line editor."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    with suppress(ImportError):
        import readline  # noqa: F401 - editing and history for input()
    while True:
        try:
            yield input("> ")
        except EOFError:
            print(file=sys.stderr)
            return
