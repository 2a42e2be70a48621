"""What a trial asks: a memory that is slept with its numbers, in one way and wording. Knows nothing about searching."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nrem.consolidation.events import Listener
from nrem.memory.memory import Memory
from nrem.runtime.config import Config
from nrem.runtime.measure.evaluate import ask_memory
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.tune.ask import unwritten
from nrem.runtime.tune.ranges import Range, with_values
from nrem.runtime.tune.setting import Setting
from nrem.runtime.wake.wake import Wake


class TrialAsker:
    """Asks at a setting, under numbers for the configuration; sleeps anew only for other numbers of the sleep."""

    def __init__(
        self,
        base: Base,
        config: Config,
        texts: Sequence[tuple[Document, str]],
        questions: Sequence[Question],
        setting: Setting,
        ranges: Sequence[Range],
        listener: Listener,
    ) -> None:
        """`texts`: documents, each with all of its text."""
        answer = replace(config.answer, way=setting.way, wording=setting.wording)
        self.config = replace(config, sleep=config.sleep.even(setting.passes or 0).capped(0.0, 0.0), answer=answer)
        self.base, self.texts, self.questions, self.setting, self.listener = base, texts, questions, setting, listener
        self._of_sleep = [r.key for r in ranges if r.sleeps]
        self._slept: tuple[list[float], Memory] | None = None

    def answers(self, values: Mapping[str, float], numbers: Sequence[int]) -> Iterator[tuple[float, float]]:
        """F1 and FET of the answers to these questions, in this order."""
        config = with_values(self.config, values)
        wake = Wake(self.base, config, make_protocol(self.base, config), self._memory(config, values))
        for start in range(0, len(numbers), config.answer.batch_size):
            some = [self.questions[n] for n in numbers[start : start + config.answer.batch_size]]
            yield from ((outcome.score.f1, outcome.answer.fet) for outcome in ask_memory(wake, some, self.setting.way))

    def sleep_fet(self, values: Mapping[str, float]) -> float:
        """Of the sleep with these numbers, which was the last."""
        return sum(self._memory(with_values(self.config, values), values).record.fet.values())

    def _memory(self, config: Config, values: Mapping[str, float]) -> Memory:
        own = [values[key] for key in self._of_sleep]
        if self._slept is None or self._slept[0] != own:
            self._slept = (own, self._made(config))
        return self._slept[1]

    def _made(self, config: Config) -> Memory:
        if not self.setting.passes:
            return unwritten(self.base, config, [(document.name, document.title, text) for document, text in self.texts])
        return Session(base=self.base, config=config, listener=self.listener).read(*(document for document, _ in self.texts))
