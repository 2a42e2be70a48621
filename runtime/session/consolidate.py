"""The main job in one call: documents in, a memory out; and the same memory with more documents."""

from dataclasses import replace
from pathlib import Path

from nrem.consolidation.budget import parse_budget
from nrem.consolidation.events import Listener, ignore
from nrem.memory.arguments import check_kind
from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.runtime.config import Config, load_config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import check_parts, config_of, named_base
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents
from nrem.runtime.session.job import run_sleep
from nrem.runtime.session.ready import SleepJob
from nrem.runtime.session.session import Session


def consolidate(
    *documents: Document | str | Path,
    base: Base | str | None = None,
    passes: int | None = None,
    budget: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    config: Config | None = None,
    listener: Listener = ignore,
) -> Memory:
    """Read documents, sleep on them, and return the memory; `passes` is the number of passes for every chunk, `budget` a hard cap on what
    may be computed, such as "400kFET" or "90s".

    >>> memory = consolidate("report.md", passes=4)           # doctest: +SKIP
    >>> memory.save("memories/report")                        # doctest: +SKIP
    >>> Session(memory).answer("When was it signed?").answer  # doctest: +SKIP

    With `out` it is saved there, and what is done is kept beside it on the way, as `nrem sleep` does: after a kill the same call with
    `resume` goes on, and where the memory is there already it is loaded. `force` replaces an older one. Raises what `run_sleep` raises.
    """
    check_parts(None, base, config)
    config = config or load_config()
    if passes is not None:
        check_kind("passes", passes, int, "a whole number from 0")
        config = replace(config, sleep=config.sleep.even(passes))
    config = _capped(config, budget)
    config, base = named_base(config, base)
    opened = open_documents(documents)
    if out is None:
        if resume or force:
            raise UsageError(f"{'resume' if resume else 'force'}: got True without `out`; name the folder of the memory that it is about")
        return Session(base=base, config=config, listener=listener).read(*opened)
    check_kind("out", out, (str, Path), "the name of a folder")
    if not opened:
        raise UsageError("documents: got none; give at least one file name or Document")
    job = SleepJob(documents=tuple(opened), out=Path(out), resume=resume, force=force)
    return run_sleep(job, config, base=base, listener=listener)


def extend(
    memory: Memory,
    *documents: Document | str | Path,
    base: Base | str | None = None,
    budget: str | None = None,
    listener: Listener = ignore,
) -> Memory:
    """Read more documents into a memory, which changes, and return it; with the `budget` that it was made under, or this one.

    With the ridge rule it ends where one sleep on everything would have: earlier chunks of the open adapter are read again, and what does
    not fit into it stands in segments of its own.
    """
    check_kind("memory", memory, Memory, "a Memory, as Memory.load gives it")
    check_parts(None, base, None)
    opened = open_documents(documents)
    config = _capped(config_of(memory, base_given=base is not None), budget)
    return Session(memory, base=base, config=config, listener=listener).read(*opened)


def _capped(config: Config, budget: str | None) -> Config:
    """The same under a budget, where one is given."""
    if budget is None:
        return config
    check_kind("budget", budget, str, 'a text such as "400kFET" or "90s"')
    return replace(config, sleep=config.sleep.capped(*parse_budget(budget, "budget")))
