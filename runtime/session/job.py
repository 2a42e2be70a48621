"""The job of `nrem sleep`: documents in, a saved memory out, and nothing lost when it is killed on the way.

The journal lies beside the target, in `MEMORY.unfinished`, from the first token until the memory is saved. Knows nothing about terminals.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from nrem.consolidation.events import Listener, NightStarted
from nrem.memory.memory import Memory
from nrem.memory.saved.files import RESUME
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.target import real_target
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.ready import SleepJob, check_job, difference, is_there
from nrem.runtime.session.session import Session
from nrem.runtime.without_effect import without_effect

PLAIN = ("", ".txt", ".text", ".md", ".markdown", ".csv", ".tsv", ".log", ".rst")
"""Endings of files whose size is that of their text."""


def run_sleep(
    job: SleepJob,
    config: Config,
    *,
    documents: Sequence[Document] | None = None,
    base: Base | None = None,
    listener: Listener,
    tell: Callable[[str], None] = lambda text: None,
) -> Memory:
    """Read, sleep, save. Everything that can be refused is refused before the model is loaded, if it was not given; `documents` are what
    `check_job` has opened already. Raises `InUseError` where another process writes there."""
    with one_writer(real_target(job.out), "nrem sleep"):
        documents = check_job(job, config, tell, base_given=base is not None) if documents is None else documents
        if job.resume and is_there(job) and not (job.force and difference(job, config, documents)):
            memory = Memory.load(job.out)
            if job.forget_text and memory.text is not None:
                memory.save(job.out, force=True, forget_text=True)
                tell(f"{job.out}: the memory is there already; its text was left out now")
                return Memory.load(job.out)
            tell(f"{job.out}: nothing is unfinished, the memory is there already")
            return memory
        return _run(job, config, documents, base, listener, tell)


def _run(
    job: SleepJob, config: Config, documents: Sequence[Document], base: Base | None, listener: Listener, tell: Callable[[str], None]
) -> Memory:
    if base is None:
        tell(f"loading {config.model.name}")
        base = load_base(config)
    journal = Journal.open(job.unfinished, anew=not job.resume)
    try:
        session = Session(base=base, config=config, listener=listener, journal=journal)
        for note in (*without_effect(config, session.protocol), about_depth(session)):
            if note:
                tell(note)
        name = documents[0].name if len(documents) == 1 else f"{len(documents)} documents"
        listener(NightStarted(name=name, num_bytes=_size(job.documents)))
        memory = session.read(*documents)
        if not memory.record.sleeps:
            tell("nothing was slept on: every chunk is only blank lines, rules, dots or one repeated character")
        memory.save(job.out, force=job.force, forget_text=job.forget_text)
    except BaseException:
        if not (journal.folder / RESUME).exists():  # nothing to go on with
            journal.remove()
        raise
    if kept := journal.remove():
        tell(f"{journal.folder}: kept {kept[0]}{' and more' if kept[1:] else ''}, which nrem did not put there")
    return Memory.load(job.out)  # its text lies in its own folder, no longer in the journal's


def _size(documents: Sequence[Document | str | Path]) -> int | None:
    """Bytes of text, where each is a file whose bytes are its text."""
    files = [Path(name) for name in documents if not isinstance(name, Document)]
    plain = len(files) == len(documents) and all(file.is_file() and file.suffix.lower() in PLAIN for file in files)
    return sum(file.stat().st_size for file in files) if plain else None


def about_depth(session: Session) -> str:
    """What a person should know of the number of passes: it goes deeper than they were measured to pay, or nothing will be written."""
    ceiling, passes = session.protocol.ceiling, session.writer.sleeper.config.passes
    if ceiling is None:
        return ""
    if passes == 0 and session.config.sleep.passes == "auto":
        return f"the measured ceiling is {ceiling.verdict}: passes do not pay here, so nothing is written; --passes N writes anyway"
    if passes > ceiling.n_star:
        return f"{passes} passes are asked for; they were measured to pay up to {ceiling.n_star} (nrem ceiling)"
    return ""
