"""The job of `nrem tune`: the folder of a run, what it may replace, and the files that it ends with. Knows nothing about terminals."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nrem.consolidation.events import Listener
from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text
from nrem.runtime.config import Config, to_toml
from nrem.runtime.models.load import Base
from nrem.runtime.tune.recommend import Wish
from nrem.runtime.tune.table import plot_tuning
from nrem.runtime.tune.tune import LEVELS, PASSES, ROWS, UNFINISHED, Tuning, check_levels, tune

RESULT, PLOT, CONFIG = "result.json", "plot.png", "config.toml"
OWN = (RESULT, PLOT, CONFIG, ROWS, LEVELS, UNFINISHED)


@dataclass(frozen=True, kw_only=True)
class TuneJob:
    """What to read and ask, where to keep it, and what to do with what is there."""

    documents: tuple[str, ...]
    questions: Path
    out: Path
    passes: tuple[int, ...] = PASSES
    wish: Wish = field(default_factory=Wish)
    resume: bool = False
    """Go on with a run of the same documents, questions, passes and configuration."""
    force: bool = False
    """Throw an older run away."""


def run_tune(job: TuneJob, config: Config, *, base: Base | None = None, listener: Listener, tell: Callable[[str], None]) -> Tuning:
    """Measure what is missing, recommend, write the files; what can be refused is refused before the model is loaded."""
    check_levels(job.passes)
    _clear(job)
    made = not job.out.exists()
    try:
        found = tune(
            *job.documents,
            questions=job.questions,
            passes=job.passes,
            base=base,
            config=config,
            expected_questions=job.wish.expected_questions,
            price=job.wish.price,
            budget=job.wish.budget,
            folder=job.out,
            listener=listener,
            tell=tell,
        )
    except Exception:
        if made and not any((job.out / name).exists() for name in (LEVELS, UNFINISHED)) and _rows(job) < 2:
            shutil.rmtree(job.out, ignore_errors=True)  # nothing to go on with
        raise
    write_text(job.out / CONFIG, to_toml(found.config))
    if problem := plot_tuning(found, job.out / PLOT):
        tell(problem)
    write_text(job.out / RESULT, json_text(found.to_dict(), indent=2, ensure_ascii=False) + "\n")
    return found


def _rows(job: TuneJob) -> int:
    """Lines of the file of rows; the first is no row."""
    path = job.out / ROWS
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def _clear(job: TuneJob) -> None:
    """Refuse what is not ours, and an older run unless it is to go on or to go."""
    if not job.out.exists():
        return
    foreign = [job.out] if not job.out.is_dir() else sorted(path for path in job.out.iterdir() if not _is_own(path))
    if foreign:
        raise UsageError(f"{job.out}: exists and is not a tuning run ({foreign[0].name} is no part of one); choose another name")
    if job.resume or not any(job.out.iterdir()):
        return
    if not job.force:
        raise UsageError(f"{job.out}: a tuning run is already there; go on with --resume, or start again with --force")
    shutil.rmtree(job.out)


def _is_own(path: Path) -> bool:
    """Also what a kill left of a file that was being written."""
    return path.name in OWN or (path.suffix == ".tmp" and path.name.startswith(tuple(f".{name}." for name in OWN)))
