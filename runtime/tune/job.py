"""The job of `nrem tune`: the folder of a run, what it may replace, and the files that it ends with. Knows nothing about terminals."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nrem.consolidation.events import Listener
from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.files import TEXT
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.own import is_temporary, of_any
from nrem.memory.saved.target import real_target
from nrem.runtime.config import Config, to_toml
from nrem.runtime.measure.questions import Question, read_questions
from nrem.runtime.models.load import Base
from nrem.runtime.models.source import find_source
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents
from nrem.runtime.tune.measure import BANK, LEVELS, UNFINISHED
from nrem.runtime.tune.plan import PASSES, Plan
from nrem.runtime.tune.plot import plot_tuning
from nrem.runtime.tune.ranges import Range
from nrem.runtime.tune.recommend import Wish
from nrem.runtime.tune.trials import TRIALS, check_search
from nrem.runtime.tune.tune import RANGES, Tuning, tune

RESULT, PLOT, CONFIG = "result.json", "plot.png", "config.toml"
OWN = (RESULT, PLOT, CONFIG, BANK, LEVELS, UNFINISHED, RANGES)


@dataclass(frozen=True, kw_only=True)
class TuneJob:
    """What to read and ask, where to keep it, and what to do with what is there."""

    documents: tuple[str, ...]
    questions: Path
    out: Path
    passes: tuple[int, ...] = PASSES
    ways: tuple[str, ...] = ()
    """Beside the configured one and `direct`."""
    wordings: tuple[str, ...] = ()
    """Beside the protocol's own."""
    ranges: tuple[str, ...] = ()
    """`KEY=LOW:HIGH`, of numbers to search."""
    trials: int = TRIALS
    share: float | None = None
    """Of the price of all settings on all questions; None for all of it where settings are few, else a quarter."""
    wish: Wish = field(default_factory=Wish)
    resume: bool = False
    """Go on with a run of the same documents, questions, passes and configuration."""
    force: bool = False
    """Throw an older run away."""


def run_tune(
    job: TuneJob,
    config: Config,
    *,
    base: Base | None = None,
    listener: Listener,
    tell: Callable[[str], None],
    count: Callable[[int, int], None] = lambda done, of: None,
) -> Tuning:
    """Measure what is missing, recommend, write the files; what can be refused is refused before the model is loaded, and before an older
    run goes. Raises `InUseError` where another process writes there."""
    Plan.of(config, 1, job.passes, job.ways, job.wordings, job.share)
    check_search([Range.parse(text, config) for text in job.ranges], job.wish)
    job = replace(job, out=real_target(job.out))
    documents, questions = open_documents(job.documents, tell=tell), read_questions(job.questions)
    if base is None:
        find_source(config.model.name, config.model.load_in, config.model.dtype)
    with one_writer(job.out, "nrem tune"):
        _clear(job)
        return _run(job, config, documents, questions, base, listener, tell, count)


def _run(
    job: TuneJob,
    config: Config,
    documents: Sequence[Document],
    questions: Sequence[Question],
    base: Base | None,
    listener: Listener,
    tell: Callable[[str], None],
    count: Callable[[int, int], None],
) -> Tuning:
    made = not job.out.exists()
    try:
        found = tune(
            *documents,
            questions=questions,
            passes=job.passes,
            ways=job.ways,
            wordings=job.wordings,
            ranges=job.ranges,
            trials=job.trials,
            share=job.share,
            base=base,
            config=config,
            expected_questions=job.wish.expected_questions,
            price=job.wish.price,
            budget=job.wish.budget,
            folder=job.out,
            listener=listener,
            tell=tell,
            count=count,
        )
    except Exception:
        if made and not any((job.out / name).exists() for name in (LEVELS, UNFINISHED)) and _lines(job) < 2:
            shutil.rmtree(job.out, ignore_errors=True)  # nothing to go on with
        raise
    write_text(job.out / CONFIG, to_toml(found.config))
    if problem := plot_tuning(found, job.out / PLOT):
        tell(problem)
    write_text(job.out / RESULT, json_text(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
    return found


def _lines(job: TuneJob) -> int:
    """Lines of the bank; the first is no outcome."""
    path = job.out / BANK
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _clear(job: TuneJob) -> None:
    """Refuse what is not ours, and an older run unless it is to go on or to go."""
    if not job.out.exists():
        return
    foreign = [job.out] if not job.out.is_dir() else sorted(path for path in job.out.rglob("*") if not _is_own(path, job.out))
    if foreign:
        name = job.out.name if foreign[0] == job.out else foreign[0].relative_to(job.out)
        raise UsageError(f"{job.out}: exists and is not a tuning run ({name} is no part of one); choose another name")
    if job.resume or not any(job.out.iterdir()):
        return
    if not job.force:
        raise UsageError(f"{job.out}: a tuning run is already there; go on with --resume, or start again with --force")
    shutil.rmtree(job.out)


def _is_own(path: Path, out: Path) -> bool:
    """At any depth; also what a kill left of a file that was being written: nrem's own memories and journals are
    in there, and a person's file may have got among them."""
    top, *inside = path.relative_to(out).parts
    if not inside:
        return top in OWN or (path.suffix == ".tmp" and top.startswith(tuple(f".{name}." for name in OWN)))
    name = inside[-1]
    return top in (LEVELS, UNFINISHED, RANGES) and (path.is_dir() or is_temporary(name) or of_any(name) or of_any(f"{TEXT}/{name}"))
