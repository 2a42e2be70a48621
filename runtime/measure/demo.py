"""The job of `nrem demo`: sleep on the document that comes with nrem, then ask everything, beside the arms that it must be compared with.

Two steps, so that the first can be shown while the second runs. Knows nothing about terminals.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from nrem.consolidation.events import ChunksEvicted, Event, Listener
from nrem.memory.errors import MemoryFolderError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import MEMORY
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.record_file import read_record
from nrem.memory.saved.target import check_target, real_target
from nrem.runtime.config import Config
from nrem.runtime.measure.evaluate import ARMS, Evaluation, Question, evaluate_memory, memory_of_other_document, read_questions
from nrem.runtime.models.load import Base
from nrem.runtime.parts import load_base, make_protocol
from nrem.runtime.session.job import run_sleep
from nrem.runtime.session.ready import SleepJob
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.wake import Wake

UNTRAINED_PASSES = 16
"""Study passes are dear: half of the usual number keeps the demo within five minutes on two cores where a model has no trained protocol."""


@dataclass(frozen=True)
class DemoNight:
    """The demo's memory, and what left the window on the way to it."""

    base: Base
    config: Config
    memory: Memory
    evictions: tuple[ChunksEvicted, ...]


@dataclass(frozen=True)
class Comparison:
    """All questions under every arm, and what one question costs by itself: of the memory, and with the document in the prompt."""

    evaluation: Evaluation
    by_memory: Answer
    by_context: Answer

    def to_dict(self) -> dict[str, Any]:
        return {**self.evaluation.to_dict(), "cost": {"memory": self.by_memory.to_dict(), "context": self.by_context.to_dict()}}


def demo_document() -> Path:
    """The document about an invented island."""
    return _packaged("demo_document.md")


def demo_questions() -> list[Question]:
    """The questions about it; the last of them need two facts."""
    return read_questions(_packaged("demo_questions.jsonl"))


def sleep_on_demo(out: Path, config: Config, *, force: bool, listener: Listener, tell: Callable[[str], None]) -> DemoNight:
    """Make the demo's memory at `out`; an older one of the demo itself is replaced unasked, anything else only with `force`."""
    evictions: list[ChunksEvicted] = []

    def watch(event: Event) -> None:
        if isinstance(event, ChunksEvicted):
            evictions.append(event)
        listener(event)

    with one_writer(real_target(out), "nrem demo"):
        replaceable = force or not (out / MEMORY).exists() or _is_demo(out)
        check_target(out, force=replaceable)
        job = SleepJob(documents=(str(demo_document()),), out=out, force=replaceable)
        tell(f"loading {config.model.name}")
        base = load_base(config)
        if config.sleep.passes == "auto" and not make_protocol(base, config).trained_passes:
            config = replace(config, sleep=replace(config.sleep, passes=UNTRAINED_PASSES))
        return DemoNight(base, config, run_sleep(job, config, base=base, listener=watch, tell=tell), tuple(evictions))


def compare(night: DemoNight, *, tell: Callable[[str], None]) -> Comparison:
    """Ask everything of the base, of a memory of another document, of the demo's memory, and with the document in the prompt."""
    tell("sleeping on another document, for the wrong memory, where no earlier night has left it")
    wrong = memory_of_other_document(night.base, night.config)
    questions = demo_questions()
    tell(f"asking {len(questions)} questions in {len(ARMS)} ways")
    text = demo_document().read_text(encoding="utf-8")
    evaluation = evaluate_memory(night.base, night.memory, questions, arms=ARMS, wrong=wrong, context_text=text)
    wake = Wake(night.base, night.config, make_protocol(night.base, night.config), night.memory)
    by_memory = wake.answer(questions[0].question, "direct")
    with wake.nothing_written.attached(night.base.model):
        by_context = wake.answerer.ask(questions[0].question, text)
    return Comparison(evaluation, by_memory, by_context)


def _is_demo(folder: Path) -> bool:
    """Whether a memory of the demo document, and of nothing else, lies there."""
    if not (folder / MEMORY).exists():
        return False
    try:
        return [d.name for d in read_record(folder).documents] == [demo_document().name]
    except MemoryFolderError:
        return False


def _packaged(name: str) -> Path:
    return Path(str(resources.files("nrem.configs").joinpath(name)))
