"""Wake: questions to a memory, answered. The one door that `ask`, `chat`, `eval`, `tune`, sessions and benchmarks go through.

    question -> way (what is attached, which chunks are in the prompt) -> decoding -> answer: its way, its cost, what it leans on

Opening a memory to answer builds nothing that sleeps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.memory import EVERYTHING, Memory, Route
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.heading import heading_of
from nrem.memory.weights.fast_weights import FastWeights
from nrem.runtime.config import Config, Flags
from nrem.runtime.models.load import Base
from nrem.runtime.parts import config_of, load_base, make_fast_weights, make_protocol
from nrem.runtime.wake.config import check_question
from nrem.runtime.wake.decode import Answer, Answerer
from nrem.runtime.wake.sleep_again import sleep_again
from nrem.runtime.wake.ways import WAYS, resolve_way


class Wake:
    """A base model, awake with a memory."""

    def __init__(self, base: Base, config: Config, protocol: Protocol, memory: Memory) -> None:
        self.base, self.config, self.protocol, self.memory = base, config, protocol, memory
        self.answerer = Answerer(base, protocol, config.answer)

    @classmethod
    def open(cls, memory: Memory, base: Base | None = None, settings: Sequence[str] = (), flags: Flags | None = None) -> "Wake":
        """Awake with a saved memory; `settings`, `a.b=c` strings, and `flags` are the user's: the memory says how it was written, and
        nothing else.

        Raises `BaseMismatchError` where base model or protocol are not the memory's, and what loading a model raises.
        """
        config = config_of(memory, settings, flags, base_given=base is not None)
        base = base or load_base(config)
        memory.check_base(base.identity)
        return cls(base, config, make_protocol(base, config, memory.record), memory)

    def answer(self, question: str, way: str = "", window: str = "") -> Answer:
        """Answer one question by itself, the honest price of a single one. `way` goes over `answer.way`; `window` is live context, which
        then stands in the prompt instead of whatever a way would put there.

        Raises `UsageError` for a question that cannot be asked, and for a way that cannot be gone.
        """
        question = check_question(question)
        if window:
            with self.memory.attached(self.base.model, self.memory.route(question)):
                return self.answerer.ask(question, window)
        return self.answers([question], way)[0]

    def answers(self, questions: Sequence[str], way: str = "") -> list[Answer]:
        """Answer several questions; those that have the same adapter are decoded together."""
        name, found = self.way(way), dict[int, Answer]()
        questions = [check_question(question) for question in questions]
        for numbers, chunks in self._attached_groups(name, questions):
            contexts = [_context(chunks[n]) for n in numbers]
            for n, answer in zip(numbers, self.answerer.ask_all([questions[n] for n in numbers], contexts), strict=True):
                found[n] = self._told(answer, name, chunks[n])
        return [self._surer(found[n], name) for n in range(len(questions))]

    def nlls(self, pairs: Sequence[tuple[str, str]], way: str = "") -> list[float]:
        """Mean NLL of given answers, nats per token, for (question, answer) pairs, under the prompts and weights of a way."""
        name, found = self.way(way), dict[int, float]()
        pairs = [(check_question(question), answer) for question, answer in pairs]
        for numbers, chunks in self._attached_groups(name, [question for question, _ in pairs]):
            contexts = [_context(chunks[n]) for n in numbers]
            found |= dict(zip(numbers, self.answerer.nlls([pairs[n] for n in numbers], contexts), strict=True))
        return [found[n] for n in range(len(pairs))]

    def way(self, wanted: str = "") -> str:
        """The name of the way that is gone; raises `UsageError` where there is no such way, or no text to search."""
        c, text = self.config.answer, self.memory.text
        return resolve_way(wanted or c.way, kept=text is not None and len(text) > 0, again=c.sleep_again > 0, memory=self.memory.name)

    @cached_property
    def nothing_written(self) -> FastWeights:
        """What is attached with the adapter off: the protocol's reader."""
        return make_fast_weights(self.base, self.config, self.protocol)

    def _attached_groups(self, way: str, questions: Sequence[str]) -> Iterator[tuple[list[int], dict[int, list[Chunk]]]]:
        """Questions by number, with the chunks of their prompts, group by group, each while the weights are on that it is asked of."""
        chosen = WAYS[way]()
        chunks = {n: chosen.chunks(self.memory.text, question) for n, question in enumerate(questions)}
        groups = self.memory.by_route(questions) if chosen.adapter else {EVERYTHING: list(range(len(questions)))}
        for route, numbers in groups.items():
            with self._attached(route, chosen.adapter):
                yield numbers, chunks

    @contextmanager
    def _attached(self, route: Route, adapter: bool) -> Iterator[None]:
        weights = self.memory.attached(self.base.model, route) if adapter else self.nothing_written.attached(self.base.model)
        with weights:
            yield

    def _told(self, answer: Answer, way: str, chunks: Sequence[Chunk]) -> Answer:
        """With its way, what it leans on, and how sure that makes it."""
        places = tuple(self._place(chunk) for chunk in chunks)
        return replace(answer, way=way, leans_on=places, confidence=self.protocol.right(answer.token_confidence, way))

    def _place(self, chunk: Chunk) -> dict[str, str | int]:
        assert self.memory.text is not None, "a chunk was found in it"
        heading = heading_of(self.memory.text, chunk)
        return {"document": chunk.document, "chunk": chunk.index, "start": chunk.start, "end": chunk.end, "heading": heading}

    def _surer(self, answer: Answer, way: str) -> Answer:
        """With `answer.sleep_again`, an answer of the adapter alone that is not sure enough gets passes of its own."""
        c = self.config.answer
        if way != "direct" or not c.sleep_again or answer.confidence >= c.sure:
            return answer
        return self._told(sleep_again(self.base, self.config, self.protocol, self.answerer, self.memory, answer), way, ())


def _context(chunks: Sequence[Chunk]) -> str:
    """Chunks as they stand in a prompt, as in training: a blank line between them."""
    return "\n\n".join(chunk.text.strip() for chunk in chunks)
