"""Wake: questions to a memory, answered. The one door that `ask`, `chat`, `eval`, `tune`, sessions and benchmarks go through.

    question -> way (what is attached, what is in the prompt, how often it is asked) -> decoding -> answer: way, cost, what it leans on

Opening a memory to answer builds nothing that sleeps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

from nrem.consolidation.prompts import OWN_WORDING
from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.arguments import check_kind, check_list
from nrem.memory.memory import EVERYTHING, Memory, Route
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.heading import heading_of
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.turns import in_turn
from nrem.runtime.config import Config, Flags
from nrem.runtime.models.load import Base
from nrem.runtime.parts import base_of, calibration_folder, check_parts, config_of, make_fast_weights, make_protocol
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.config import check_question
from nrem.runtime.wake.decode import Answerer
from nrem.runtime.wake.features import features_of
from nrem.runtime.wake.router import FIRST, read_router, routed
from nrem.runtime.wake.sleep_again import sleep_again
from nrem.runtime.wake.snippet import part, snippet
from nrem.runtime.wake.way import Way
from nrem.runtime.wake.ways import ROUTER, parse_way, resolve_way
from nrem.runtime.wake.witnesses import Witnesses

SHOWN_TOKENS = 64
"""Of a passage that is shown to a person."""


class Wake:
    """A base model, awake with a memory. Threads may ask at the same time: their questions are answered one after the other."""

    def __init__(self, base: Base, config: Config, protocol: Protocol, memory: Memory) -> None:
        if config.answer.wording != OWN_WORDING:  # what was measured of confidence says nothing about other words
            protocol = replace(protocol, wording=config.answer.wording, confidence=None)
        self.base, self.config, self.protocol, self.memory = base, config, protocol, memory
        self.answerer = Answerer(base, protocol, config.answer, config.seed)

    @classmethod
    def open(cls, memory: Memory, base: Base | str | None = None, settings: Sequence[str] = (), flags: Flags | None = None) -> "Wake":
        """Awake with a saved memory; `settings`, `a.b=c` strings, and `flags` are the user's: the memory says how it was written, and
        nothing else.

        Raises `BaseMismatchError` where base model or protocol are not the memory's, and what loading a model raises.
        """
        check_kind("memory", memory, Memory, "a Memory, as Memory.load gives it")
        check_parts(None, base, None)
        config = config_of(memory, settings, flags, base_given=base is not None)
        base = base_of(config, base)
        memory.check_base(base.identity)
        return cls(base, config, make_protocol(base, config, memory.record), memory)

    @in_turn
    def answer(self, question: str, way: str = "", window: str = "") -> Answer:
        """Answer one question by itself, the honest price of a single one. `way` goes over `answer.way`; `window` is live context, which
        then stands in the prompt instead of whatever a way would put there.

        Raises `UsageError` for a question that cannot be asked, and for a way that cannot be gone.
        """
        question = check_question(question)
        if window:
            self.way(way)
            with self.memory.attached(self.base.model, self.memory.route(question)):
                return self.answerer.ask(question, window)
        return self.answers([question], way)[0]

    @in_turn
    def answers(self, questions: Sequence[str], way: str = "") -> list[Answer]:
        """Answer several questions; those that have the same adapter are asked together."""
        check_list("questions", questions, str, "questions as text")
        questions = [check_question(question) for question in questions]
        if (way or self.config.answer.way) == ROUTER:
            first = self.answers(questions, FIRST)
            return routed(first, self._chosen(first), self.answers)
        gone, found = self.way(way), dict[int, Answer]()
        for answerer, numbers, chunks in self._attached_groups(gone, questions):
            contexts = [_context(chunks[n]) for n in numbers]
            for n, answer in zip(numbers, gone.answers(answerer, [questions[n] for n in numbers], contexts), strict=True):
                found[n] = self._told(answer, gone, chunks[n])
        return [self._surer(found[n], gone) for n in range(len(questions))]

    @in_turn
    def nlls(self, pairs: Sequence[tuple[str, str]], way: str = "") -> list[float]:
        """Mean NLL of given answers, nats per token, for (question, answer) pairs, under the prompts and weights of a way.

        Under `think` the prompt holds the thought that the question gets. Under `vote` and `again` it is the prompt by itself: neither what
        is drawn nor extra passes, which come where the own answer is not sure, are about a given answer.
        """
        found = dict[int, float]()
        pairs = [(check_question(question), answer) for question, answer in pairs]
        if (way or self.config.answer.way) == ROUTER:
            chosen = self._chosen(self.answers([question for question, _ in pairs], FIRST))
            for own in dict.fromkeys(chosen):
                numbers = [n for n, name in enumerate(chosen) if name == own]
                found |= zip(numbers, self.nlls([pairs[n] for n in numbers], own), strict=True)
            return [found[n] for n in range(len(pairs))]
        gone = self.way(way)
        for answerer, numbers, chunks in self._attached_groups(gone, [question for question, _ in pairs]):
            contexts = [_context(chunks[n]) for n in numbers]
            found |= zip(numbers, gone.nlls(answerer, [pairs[n] for n in numbers], contexts), strict=True)
        return [found[n] for n in range(len(pairs))]

    def way(self, wanted: str = "") -> Way:
        """The way that is gone; raises `UsageError` where there is no such way, or no text to search."""
        c, text = self.config.answer, self.memory.text
        kept = len(text) if text is not None else 0
        return resolve_way(wanted or c.way, kept=kept, again=c.sleep_again, memory=self.memory.name, retired=self.protocol.retired)

    def passages(self, answer: Answer) -> list[Chunk]:
        """What an answer leans on, with its text: for each of `leans_on` the part of it that has most to do with question and answer."""
        if not answer.leans_on:
            return []
        assert self.memory.text is not None, "the chunks were found in it"
        chunks = [part(self.memory.text.get(place["chunk"]), place["start"], place["end"]) for place in answer.leans_on]
        return [snippet(chunk, f"{answer.question} {answer.answer}", SHOWN_TOKENS) for chunk in chunks]

    @cached_property
    def nothing_written(self) -> FastWeights:
        """What is attached with the adapter off: the protocol's reader."""
        return make_fast_weights(self.base, self.config, self.protocol)

    def _attached_groups(self, way: Way, questions: Sequence[str]) -> Iterator[tuple[Answerer, list[int], dict[int, list[Chunk]]]]:
        """Questions by number, with the chunks of their prompts, group by group, each while the weights are on that it is asked of."""
        chunks = {n: way.chunks(self.memory.text, question) for n, question in enumerate(questions)}
        groups = self.memory.by_route(questions) if way.asks_memory else {EVERYTHING: list(range(len(questions)))}
        for route, numbers in groups.items():
            with self._attached(route, way) as answerer:
                yield answerer, numbers, chunks

    @contextmanager
    def _attached(self, route: Route, way: Way) -> Iterator[Answerer]:
        """What asks the model while the weights of a way are on."""
        model = self.base.model
        if way.say:
            with self.memory.lent(model, route) as written:
                if written.adds_the_same(self.nothing_written):  # no witness but the reader
                    yield self.answerer
                    return
                with self.nothing_written.attached(model), written.silenced():
                    yield self.answerer.before(Witnesses(written, self.nothing_written, way.say))
        else:
            with self.memory.attached(model, route) if way.adapter else self.nothing_written.attached(model):
                yield self.answerer

    def _chosen(self, first: Sequence[Answer]) -> list[str]:
        """The way that the router buys for each question, from its direct answer."""
        router = read_router(calibration_folder(self.base, self.protocol))
        kept = self.memory.text is not None and len(self.memory.text) > 0
        ways = [way for way in router.heads if kept or not parse_way(way).searches]
        return [router.choose(features_of(answer, self.memory), self.config.answer.price, ways) for answer in first]

    def _told(self, answer: Answer, way: Way, chunks: Sequence[Chunk]) -> Answer:
        """With its way, what it leans on, and how sure that makes it."""
        places, sure = tuple(self._place(chunk) for chunk in chunks), self.protocol.right(answer.token_confidence, way.measured_as)
        return replace(answer, way=str(way), amount=way.amount, leans_on=places, confidence=sure)

    def _place(self, chunk: Chunk) -> dict[str, str | int]:
        assert self.memory.text is not None, "a chunk was found in it"
        heading = heading_of(self.memory.text, chunk)
        return {"document": chunk.document, "chunk": chunk.index, "start": chunk.start, "end": chunk.end, "heading": heading}

    def _surer(self, answer: Answer, way: Way) -> Answer:
        """By a way that sleeps again, an answer that is not sure enough gets passes of its own."""
        if not way.passes_again or answer.confidence >= self.config.answer.sure:
            return answer
        parts = (self.base, self.config, self.protocol, self.answerer, self.memory)
        found, chunks = sleep_again(*parts, answer, way.passes_again)
        return self._told(found, way, chunks)


def _context(chunks: Sequence[Chunk]) -> str:
    """Chunks as they stand in a prompt, as in training: a blank line between them."""
    return "\n\n".join(chunk.text.strip() for chunk in chunks)
