"""Evaluation: the same questions under several arms, scored; the engine of `nrem eval` and of `benchmarks.closed_book`.

    floor: nothing was consolidated    wrong: another document's memory    memory: this one, its adapter alone
    search: its adapter, with the chunk in the prompt that is found for the question    context: the document in the prompt

The floor has what every other arm has but the text: with a trained protocol its reader is attached and no pass was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from statistics import fmean
from typing import Any

from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.runtime.config import Config, config_from_dict
from nrem.runtime.measure.questions import Question, read_questions
from nrem.runtime.measure.scores import RULES, Score, score
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_protocol
from nrem.runtime.readers.text import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answer, Answerer
from nrem.runtime.wake.ways import resolve_way, searched

__all__ = ["ARMS", "Evaluation", "Outcome", "Question", "ask", "ask_memory", "evaluate_memory", "read_questions", "recovery", "summary"]

ARMS = ("floor", "wrong", "memory", "context")
KNOWN = (*ARMS, "search")


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
    nlls = answerer.nll([(q.question, q.answers[0]) for q in questions], context)
    answerer.forget_context()
    found = zip(questions, answers, nlls, strict=True)
    return [Outcome(q, a, nll, score(q.question, a.answer, q.answers, q.dataset)) for q, a, nll in found]


def ask_memory(base: Base, answerer: Answerer, memory: Memory, questions: Sequence[Question]) -> list[Outcome]:
    """Ask everything of a memory, closed book; each question goes to the chunks that a search routes it to."""
    found: dict[int, Outcome] = {}
    for route, numbers in memory.by_route([q.question for q in questions]).items():
        with memory.attached(base.model, route):
            found |= zip(numbers, ask(answerer, [questions[n] for n in numbers]), strict=True)
    return [found[n] for n in range(len(questions))]


def ask_with_found(base: Base, answerer: Answerer, memory: Memory, questions: Sequence[Question]) -> list[Outcome]:
    """Ask everything of a memory with the chunk in the prompt that is found for it. Raises `UsageError` where the text was not kept."""
    resolve_way("search", memory)
    out = []
    for question in questions:
        with searched(memory, base.model, question.question) as chunk:
            out += ask(answerer, [question], chunk.text if chunk else "")
    return out


def evaluate_memory(
    base: Base,
    memory: Memory,
    questions: Sequence[Question],
    *,
    arms: Sequence[str] = ARMS,
    wrong: Memory | None = None,
    context_text: str | None = None,
) -> Evaluation:
    """Ask `questions` under every arm.

    `wrong` is another document's memory; None sleeps on a document that comes with nrem, with the same configuration. `context_text` is
    what goes into the prompt; None takes the text kept in the memory. Raises `UsageError` where an arm is unknown or cannot be had.
    """
    check_arms(arms, KNOWN)
    if not questions:
        raise UsageError("evaluate: got no questions; give at least one")
    config = config_from_dict(memory.record.config)
    protocol = make_protocol(base, config, memory.record)
    answerer = Answerer(base, protocol, config.answer)
    context = _context(memory, context_text) if "context" in arms else ""
    if "wrong" in arms and wrong is None:
        wrong = sleep_on_other_document(base, config)
    memories = {"memory": memory, "wrong": wrong}
    out = {}
    for arm in arms:
        if arm == "search":
            out[arm] = ask_with_found(base, answerer, memory, questions)
        elif written := memories.get(arm):
            out[arm] = ask_memory(base, answerer, written, questions)
        else:
            with make_fast_weights(base, config, protocol).attached(base.model):
                out[arm] = ask(answerer, questions, context if arm == "context" else "")
    return Evaluation(out)


def check_arms(arms: Sequence[str], known: Sequence[str]) -> None:
    """Raise `UsageError` for an arm that is not known, and for none at all."""
    if not arms or (unknown := [arm for arm in arms if arm not in known]):
        raise UsageError(f"--arms: got {unknown[0] if arms else 'none'!r}, expected some of {', '.join(known)}")


def sleep_on_other_document(base: Base, config: Config) -> Memory:
    """A memory of a document that comes with nrem, so that there always is a wrong one."""
    text = resources.files("nrem.configs").joinpath("other_document.md").read_text(encoding="utf-8")
    return Session(base=base, config=config).stream(Document.from_text(text, "other_document.md", "The Zarvo Peak Observatory"))


def _context(memory: Memory, given: str | None) -> str:
    if given is not None:
        return given
    if memory.text is None or not len(memory.text):
        raise UsageError(
            f"{memory.name}: its text was not kept, so it cannot go into the prompt; give the document, or leave out the arm context"
        )
    return "".join(chunk.text for chunk in memory.text)
