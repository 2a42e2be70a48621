"""Asking at a setting: the memory of a level is opened once, and its questions go through the one door of all answers.

At 0 passes a memory holds the text, and nothing is written; for the document in the prompt there is none. Knows nothing about banks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from nrem.memory.memory import Memory
from nrem.memory.saved.record import ChunkRecord
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.weights.segment import Segment
from nrem.runtime.config import Config
from nrem.runtime.measure.evaluate import Outcome, ask, ask_memory
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_protocol, make_record
from nrem.runtime.tune.rows import Asked
from nrem.runtime.tune.setting import Setting
from nrem.runtime.wake.wake import Wake


class SettingAsker:
    """Measures (setting, questions) of one text, in batches."""

    def __init__(
        self,
        base: Base,
        config: Config,
        texts: Sequence[tuple[str, str, str]],
        questions: Sequence[Question],
        open_: Callable[[int], Memory],
    ) -> None:
        """`texts` are (name, title, text) of the documents; `open_` gives the memory of a level above 0."""
        self.base, self.config, self.texts, self.questions, self.open = base, config, texts, questions, open_
        self.protocol = make_protocol(base, config)
        self._memory: tuple[int, Memory] | None = None

    def measure(self, setting: Setting, numbers: Sequence[int]) -> Iterator[tuple[int, Asked]]:
        """Outcomes by the number of the question, a batch of them as soon as it is there."""
        step = self.config.answer.batch_size
        wake, text = self._wake(setting), "".join(text for _, _, text in self.texts)
        whole = 0 if setting.passes is not None else len(wake.protocol.plain_ids(text.strip() + "\n\n"))
        for start in range(0, len(numbers), step):
            group = numbers[start : start + step]
            questions = [self.questions[n] for n in group]
            for number, outcome in zip(group, self._outcomes(setting, wake, questions, text), strict=True):
                yield number, Asked.of(outcome, cut=outcome.answer.document_tokens < whole)

    def _outcomes(self, setting: Setting, wake: Wake, questions: Sequence[Question], text: str) -> list[Outcome]:
        if setting.passes is not None:
            return ask_memory(wake, questions, setting.way)
        with wake.nothing_written.attached(self.base.model):
            return ask(wake.answerer, questions, text)

    def _wake(self, setting: Setting) -> Wake:
        config = replace(self.config, answer=replace(self.config.answer, wording=setting.wording))
        return Wake(self.base, config, self.protocol, self._memory_of(setting.passes or 0))

    def _memory_of(self, level: int) -> Memory:
        if self._memory is None or self._memory[0] != level:
            self._memory = None  # one at a time: adapters with their statistics are large
            self._memory = (level, self.open(level) if level else unwritten(self.base, self.config, self.texts))
        return self._memory[1]


def unwritten(base: Base, config: Config, texts: Sequence[tuple[str, str, str]]) -> Memory:
    """The memory after 0 passes of (name, title, text): the text to search, and nothing written. Nothing is read by the model."""
    protocol = make_protocol(base, config)
    chunks: list[Chunk] = []
    for name, title, text in texts:
        size, count = config.stream.chunk_tokens, base.count_tokens
        chunks += cut_chunks([text], count_tokens=count, max_tokens=size, document=name, title=title, first_index=len(chunks))
    record = make_record(base, config, protocol)
    record.question_chunks = 0
    record.chunks = [
        ChunkRecord(document=c.document, index=c.index, start=c.start, end=c.end, num_tokens=c.num_tokens, surprisal=0.0) for c in chunks
    ]
    segment = Segment(make_fast_weights(base, config, protocol).to("cpu"))
    return Memory(record=record, segments=[segment], text=None).with_scratch_text(chunks)
