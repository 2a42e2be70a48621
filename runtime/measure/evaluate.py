"""Evaluation: the same questions under several arms, scored; the engine of `nrem eval` and of `benchmarks.closed_book`.

    floor: nothing was consolidated    wrong: another document's memory    context: the document in the prompt
    memory: this one, its adapter alone (the way `direct`), and every other way of answering under its own name

The floor has what every other arm has but the text: with a trained protocol its reader is attached and no pass was made.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from statistics import fmean
from typing import Any

from nrem.memory.errors import NremError, UsageError
from nrem.memory.memory import Memory
from nrem.runtime.config import Config, to_dict
from nrem.runtime.measure.questions import Question, read_questions
from nrem.runtime.measure.scores import RULES, Score, score
from nrem.runtime.models.default import cache_folder
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.show.answer import AskedRow
from nrem.runtime.wake.config import AnswerConfig
from nrem.runtime.wake.decode import Answer, Answerer
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import WAYS

__all__ = ["ARMS", "Evaluation", "Outcome", "Question", "ask", "ask_memory", "evaluate_memory", "read_questions", "recovery", "summary"]

MEMORY_ARM = "memory"
"""The way `direct`, under the name that tables give it: what the adapter alone is worth."""
ARMS = ("floor", "wrong", MEMORY_ARM, *(way for way in WAYS if way != "direct"), "context")


@dataclass(frozen=True)
class Outcome:
    """One question under one arm."""

    question: Question
    answer: Answer
    nll: float
    """Of the first accepted answer, nats per token."""
    score: Score


@dataclass(frozen=True)
class Evaluation:
    """All outcomes, by arm."""

    arms: dict[str, list[Outcome]]

    def rows(self) -> list[AskedRow]:
        """Question by question, what every arm said."""
        first = next(iter(self.arms.values()))
        return [
            AskedRow(
                outcome.question.question,
                outcome.question.answers[0],
                {arm: outcomes[n].answer.answer for arm, outcomes in self.arms.items()},
                {arm: outcomes[n].score.f1 for arm, outcomes in self.arms.items()},
            )
            for n, outcome in enumerate(first)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Means by arm, and how much of the way from the floor to the document in the prompt the memory goes."""
        arms = {name: summary(outcomes) for name, outcomes in self.arms.items()}
        nll = {name: arm["nll"] for name, arm in arms.items()}
        return {"arms": arms, "recovery": recovery(nll), "recovery_of_best_floor": recovery(nll, best_floor=True)}


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Means over questions; `accuracy` where the data set has a rule of its own."""
    out: dict[str, float] = {
        "nll": fmean(o.nll for o in outcomes),
        "f1": fmean(o.score.f1 for o in outcomes),
        "em": fmean(o.score.em for o in outcomes),
        "n": len(outcomes),
    }
    if any(o.question.dataset in RULES for o in outcomes):
        out["accuracy"] = fmean(o.score.accuracy for o in outcomes)
    return out | {"fet": fmean(o.answer.fet for o in outcomes), "seconds": fmean(o.answer.seconds for o in outcomes)}


def recovery(nll: dict[str, float], *, best_floor: bool = False) -> float | None:
    """(floor - memory) / (floor - context) in answer NLL; None where an arm is missing or the document in the prompt does not help.

    With `best_floor` a wrong memory counts as a floor too: it may teach the manner of answering and nothing of the text.
    """
    if not {"floor", "memory", "context"} <= nll.keys() or (best_floor and "wrong" not in nll):
        return None
    floor = min(nll["floor"], nll["wrong"]) if best_floor else nll["floor"]
    gap = floor - nll["context"]
    return (floor - nll["memory"]) / gap if gap > 0 else None


def ask(answerer: Answerer, questions: Sequence[Question], context: str = "") -> list[Outcome]:
    """Ask everything with whatever is attached now: greedy decoding and the likelihood of the first accepted answer."""
    answerer.forget_context()
    answers = answerer.ask_all([q.question for q in questions], context)
    nlls = answerer.nlls([(q.question, q.answers[0]) for q in questions], context)
    answerer.forget_context()
    return _outcomes(questions, answers, nlls)


def ask_memory(wake: Wake, questions: Sequence[Question], way: str = "direct") -> list[Outcome]:
    """Ask everything of a memory, in this way."""
    answers = wake.answers([q.question for q in questions], way)
    nlls = wake.nlls([(q.question, q.answers[0]) for q in questions], way)
    return _outcomes(questions, answers, nlls)


def _outcomes(questions: Sequence[Question], answers: Sequence[Answer], nlls: Sequence[float]) -> list[Outcome]:
    found = zip(questions, answers, nlls, strict=True)
    return [Outcome(q, a, nll, score(q.question, a.answer, q.answers, q.dataset)) for q, a, nll in found]


def evaluate_memory(
    base: Base,
    memory: Memory,
    questions: Sequence[Question],
    *,
    arms: Sequence[str] = (),
    wrong: Memory | None = None,
    context_text: str | None = None,
) -> Evaluation:
    """Ask `questions` under every arm; none named are all that can be had.

    `wrong` is another document's memory; None takes one of a document that comes with nrem, made with the same configuration and kept for
    the next time. `context_text` is what goes into the prompt; None takes the text kept in the memory. Raises `UsageError` where an arm is
    unknown or cannot be had.
    """
    arms = arms or arms_of(memory)
    check_arms(arms)
    if not questions:
        raise UsageError("evaluate: got no questions; give at least one")
    wake, out = Wake.open(memory, base), {}
    context = _context(memory, context_text) if "context" in arms else ""
    for arm in arms:
        if arm == "wrong":
            other = wrong or memory_of_other_document(base, wake.config)
            out[arm] = ask_memory(Wake(base, wake.config, wake.protocol, other), questions)
        elif arm in ("floor", "context"):
            with wake.nothing_written.attached(base.model):
                out[arm] = ask(wake.answerer, questions, context if arm == "context" else "")
        else:
            out[arm] = ask_memory(wake, questions, way_of(arm))
    return Evaluation(out)


def way_of(arm: str) -> str:
    """The way of answering behind an arm."""
    return "direct" if arm == MEMORY_ARM else arm


def arms_of(memory: Memory) -> tuple[str, ...]:
    """The arms that can be had of this memory: without its text, what needs none."""
    kept = memory.text is not None and len(memory.text) > 0
    return tuple(arm for arm in ARMS if kept or not (arm == "context" or (way_of(arm) in WAYS and WAYS[way_of(arm)].searches)))


def check_arms(arms: Sequence[str], known: Sequence[str] = ARMS) -> None:
    """Raise `UsageError` for an arm that is not known, and for none at all."""
    if not arms or (unknown := [arm for arm in arms if arm not in known]):
        raise UsageError(f"--arms: got {unknown[0] if arms else 'none'!r}, expected some of {', '.join(known)}")


def memory_of_other_document(base: Base, config: Config) -> Memory:
    """A memory of a document that comes with nrem, so that there always is a wrong one; made once for each configuration, then loaded."""
    text = resources.files("nrem.configs").joinpath("other_document.md").read_text(encoding="utf-8")
    settled = replace(config, answer=AnswerConfig())  # how it is asked does not change it
    values = [text, to_dict(settled), base.identity.to_dict(), make_protocol(base, config).sha256]
    folder = cache_folder() / "other" / hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    with suppress(NremError):  # none yet, or a damaged one
        return Memory.load(folder)
    document = Document.from_text(text, "other_document.md", "The Zarvo Peak Observatory")
    memory = Session(base=base, config=settled).stream(document)
    with suppress(NremError):  # another process makes the same one now
        shutil.rmtree(folder, ignore_errors=True)
        memory.save(folder)
    return memory


def _context(memory: Memory, given: str | None) -> str:
    if given is not None:
        return given
    if memory.text is None or not len(memory.text):
        raise UsageError(
            f"{memory.name}: its text was not kept, so it cannot go into the prompt; give the document, or leave out the arm context"
        )
    return "".join(chunk.text for chunk in memory.text)
