"""Sleep again: a question that the memory cannot answer surely is worth extra passes on the chunks that a search for it finds.

The passes go on from what the memory holds, into fast weights that live for this question only: the memory does not change. Where a rule
tells chunks apart, each chunk found answers alone as well. The surest answer counts, and all that was spent is in its price.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from nrem.consolidation.budget import Ledger
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.rule import WriteRule
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.segment import Segment
from nrem.runtime.config import Config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_rule
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.decode import Answerer


def sleep_again(
    base: Base, config: Config, protocol: Protocol, answerer: Answerer, memory: Memory, first: Answer, passes: int
) -> tuple[Answer, list[Chunk]]:
    """The surest of `first` and the answers after `passes` more passes, with the chunks that got them; `first` where no text is found."""
    chunks = _found(memory, first.question, config.answer.again_chunks)
    if not chunks:
        return first, []
    started, ledger = time.perf_counter(), Ledger()
    segment = memory.segments[memory.record.chunks[chunks[0].index].segment]
    answers = [first]
    for weights in _more_passes(base, config, protocol, segment, chunks, passes, ledger):
        with weights.attached(base.model):
            answers.append(answerer.ask(first.question))
    surest = max(answers, key=lambda answer: answer.token_confidence)  # the first of equals: what it said at once
    spent = round(sum(a.fet for a in answers) + ledger.total_fet, 1)
    return replace(surest, fet=spent, seconds=first.seconds + time.perf_counter() - started, passes=passes), chunks


def _found(memory: Memory, question: str, count: int) -> list[Chunk]:
    """The chunks that search finds, of the segment of the first one."""
    if memory.text is None:
        return []
    hits = [hit.chunk for hit in memory.text.search(question, count)]
    where = [memory.record.chunks[chunk.index].segment for chunk in hits]
    return [chunk for chunk, segment in zip(hits, where, strict=True) if segment == where[0]]


def _more_passes(
    base: Base, config: Config, protocol: Protocol, segment: Segment, chunks: Sequence[Chunk], passes: int, ledger: Ledger
) -> Iterator[FastWeights]:
    """Fast weights to ask: of each chunk alone where the rule tells them apart, and of all of them together."""
    fast, indices = segment.weights.to(base.model.device).copy(), [chunk.index for chunk in chunks]
    rule = make_rule(base, config, protocol, fast, ledger)
    rule.go_on(segment.written.renumbered({index: index for index in indices}) if segment.written else None, {})
    with fast.attached(base.model), _working_on(rule, chunks):
        for _ in range(passes):
            rule.write(indices)
        rule.publish()
    if rule.written is not None and len(indices) > 1:
        again = Segment(fast, rule.written)
        yield from (again.of_chunks({index: 1.0}) for index in indices)
    yield fast


@contextmanager
def _working_on(rule: WriteRule, chunks: Sequence[Chunk]) -> Iterator[None]:
    rule.begin(chunks, [])
    try:
        yield
    finally:
        rule.end()
