"""A session: a model with its window, its buffer and its fast weights. Three verbs: stream, sleep, answer.

    document -> chunks -> window (live context) --evict--> buffer --sleep--> fast weights -> memory

The nouns live in `nrem.memory`, the night in `nrem.consolidation.sleep`, what a session is made of in `parts`; this file connects them and
keeps the record.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from nrem.consolidation.events import ChunkRead, Listener, NightEnded, SleepEnded, ignore
from nrem.consolidation.sleep import SleepResult
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.names import unique
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.record import SleepRecord
from nrem.memory.stream.buffer import EvictionBuffer
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.stream.window import Window
from nrem.memory.text.evicted import EvictedText
from nrem.memory.weights.segment import Segment
from nrem.memory.weights.turns import in_turn, turn
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.models.load import Base
from nrem.runtime.parts import base_of, check_parts, config_of, make_dreamer, make_fast_weights, make_protocol, make_record
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents, read_document
from nrem.runtime.session.eviction import Eviction
from nrem.runtime.session.live import LiveContext
from nrem.runtime.session.mark import Mark
from nrem.runtime.session.notes import Watched, chunk_record, ledger_of, note_sleep
from nrem.runtime.session.resume import CutOff, Unfinished
from nrem.runtime.session.segments import SegmentWriter
from nrem.runtime.wake.answer import Answer
from nrem.runtime.wake.config import AnswerConfig
from nrem.runtime.wake.wake import Wake


class Session:
    """Reads documents, sleeps on them, answers questions.

    >>> session = Session()                                   # doctest: +SKIP
    >>> session.stream("report.md")                           # doctest: +SKIP
    >>> print(session.answer("When was it signed?").answer)   # doctest: +SKIP

    Given a `Memory`, the session answers from it and can read on, with a budget of its own where the configuration has one. What an
    exception cuts off can be called again: it goes on from there. With a `journal`, so does a killed session, from its last checkpoint,
    when the same documents are streamed again. Sessions in several threads may share a base model: they take turns, chunk by chunk, sleep
    by sleep and question by question.
    """

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        base: Base | str | None = None,
        config: Config | None = None,
        listener: Listener = ignore,
        journal: Journal | None = None,
    ) -> None:
        check_parts(memory, base, config)
        self.config = config or (config_of(memory, base_given=base is not None) if memory else load_config())
        self.base = base_of(self.config, base)
        if memory is not None:
            memory.check_base(self.base.identity)
        self.listener = listener
        with turn(self.base.model):  # where there is none, one is measured
            self.protocol = make_protocol(self.base, self.config, memory.record if memory else None)
        if memory is not None:
            memory.record.protocol.setdefault("rule", self.protocol.rule)  # schema 1 did not name it
        self.memory = memory or self._new_memory(journal)
        self.ledger = ledger_of(self.memory.record, self.config.sleep)
        self.window = Window(self.config.stream.within(self.base.max_positions - 1), self.base.count_tokens)  # 1 begins a text
        self.buffer = EvictionBuffer(self.config.stream.buffer_tokens)
        self.live = LiveContext(self.base, self.protocol, self.ledger)
        self._unfinished, self._cut_off = Unfinished(journal), CutOff()
        if journal is not None:
            with turn(self.base.model):
                self._cut_off = self._unfinished.take_up(self.base, to_dict(self.config), self.ledger, self.writer)
        self._known = self._left = len(self.memory.record.chunks)
        """Chunks that were read before: by an earlier session, or by a call that was cut off; and those whose window is over."""

    @cached_property
    def writer(self) -> SegmentWriter:
        """What sleeps; a session that only answers makes none."""
        return SegmentWriter(self.base, self.config, self.protocol, self.memory, self.ledger, self.listener)

    # -- stream ---------------------------------------------------------------------------------------------------------------

    def stream(self, document: Document | str | Path, *, finish: bool = True) -> Memory:
        """Read a document to its end, sleeping whenever the buffer is full; `finish` also sleeps on what is left in window and buffer.

        A `str` or `Path` is a file name; `Document.from_text` takes text itself. Raises `DocumentError` for a document that
        cannot be read and `SleepError` where it is not the one that was cut off. A name that the memory has already gets a number.
        """
        document = document if isinstance(document, Document) else read_document(document)
        document = replace(document, name=unique(document.name, {d.name for d in self.memory.record.documents}))
        self._own_text()
        with self._to_be_repeated():
            self._unfinished.check_goes_on(self.memory.record, document.name)
            self._read_window_again()
            self._stream(document)
            if finish:
                self._unfinished.check_nothing_missing(self.memory.record)
                self._evict(self.window.flush())
                if len(self.buffer):
                    self.sleep()
                self._finish()
                self.listener(NightEnded(record=self.memory.record))
        return self.memory

    def read(self, *documents: Document | str | Path) -> Memory:
        """Stream several documents, all opened before the first is read; the session finishes with the last. Raises `UsageError` for
        none, and what `open_documents` raises."""
        if not documents:
            raise UsageError("documents: got none; give at least one file name or Document")
        *earlier, last = open_documents(documents)
        with self._to_be_repeated():
            for document in earlier:
                self.stream(document, finish=False)
            return self.stream(last)

    def _stream(self, document: Document) -> None:
        """Take in all chunks of a document, and note it."""
        watched, tokens = Watched(document), list[int]()
        for chunk in cut_chunks(
            watched.pieces(),
            count_tokens=self.base.count_tokens,
            max_tokens=self.config.stream.chunk_tokens,
            document=document.name,
            title=document.title,
            first_index=self.memory.record.num_chunks,
        ):
            tokens.append(chunk.num_tokens)
            self._take_in(chunk)
        self.memory.record.documents.append(watched.record(tokens))

    @contextmanager
    def _to_be_repeated(self) -> Iterator[None]:
        """What is cut off inside, by whatever, is taken back as far as it would be in the way of the same call."""
        mark = Mark.of(self.memory.record, self.window)
        try:
            yield
        except BaseException:
            self.window = mark.take_back(self.memory.record, self._left)
            self._known = len(self.memory.record.chunks)
            self.live.drop()
            raise

    @in_turn
    def _read_window_again(self) -> None:
        """Where reading was cut off, what stands in the window of earlier documents is no longer before the model's eyes."""
        if self.live.empty and self.window.chunks and self.window.chunks[-1].index >= self._left:
            for text in (self.window.overlap, *(chunk.text for chunk in self.window.chunks)):
                self.live.read(text, required=False)

    @in_turn
    def _take_in(self, chunk: Chunk) -> None:
        """One new chunk: evict what does not fit, sleep if it is time, then read."""
        known = chunk.index < self._known
        if evicted := self.window.push(chunk):
            self._evict(evicted)
            if self._is_time(evicted[-1].index):
                self.sleep()
            if self.window.overlap and not known:
                self.live.read(self.window.overlap, required=not self.memory.record.sleeps)
        if known:
            return
        started = time.perf_counter()
        surprisals = self.live.read(chunk.text, required=not self.memory.record.sleeps)
        record = chunk_record(chunk, surprisals)
        self.memory.record.chunks.append(record)
        speed = len(surprisals) / max(time.perf_counter() - started, 1e-9)
        self.listener(ChunkRead(chunk=chunk, surprisal=record.surprisal, tokens_per_second=speed))

    def _is_time(self, last: int) -> bool:
        """Whether to sleep, now that this chunk has left the window; not while what waits is evicted again, after the call was cut off."""
        waiting = self.buffer.peek()
        return last + 1 == self._cut_off.at or (self.buffer.full and waiting[-1].index <= last)

    def _evict(self, chunks: Sequence[Chunk]) -> None:
        """From the window to disk and buffer."""
        self.live.drop()
        self._left = len(self.memory.record.chunks)
        self.eviction.take(chunks)

    @cached_property
    def eviction(self) -> Eviction:
        """What takes in what leaves the window."""
        dreamer = make_dreamer(self.base, self.config, self.protocol, self.ledger)
        return Eviction(self.base, self.memory, self.buffer, dreamer, self.listener, self._unfinished)

    # -- sleep ----------------------------------------------------------------------------------------------------------------

    @in_turn
    def sleep(self) -> list[SleepRecord]:
        """Consolidate everything in the buffer into the fast weights, and empty it: one sleep for each segment that it goes to.

        What an exception cuts off waits on: nothing of it is written, and the call can be repeated.
        """
        if not len(self.buffer):
            raise SleepError("sleep: the buffer is empty, nothing was evicted yet; stream a document first")
        assert self.memory.text is not None
        chunks, records = self.buffer.peek(), []
        self._cut_off = replace(self._cut_off, at=len(self.memory.text))
        for run in self.writer.deal(chunks):
            with self.writer.whole_or_not():
                result = self.writer.sleeper.sleep(
                    len(self.memory.record.sleeps),
                    run,
                    self.writer.replay(run),
                    signals={c.index: self.memory.record.chunks[c.index].signals for c in run},
                    price=self.memory.record.sleeps[-1].price if self.memory.record.sleeps else None,
                    checkpoint=self._checkpoint,
                    resume=self._cut_off.sleep,
                )
            more = run[-1] is not chunks[-1]
            self._note_sleep(result)
            self._cut_off = CutOff(at=self._cut_off.at if more else 0)
            self._unfinished.after_sleep(self._left, more=more)
            records.append(result.record)
            self.listener(SleepEnded(record=result.record, chunks=tuple(self.memory.record.chunks[c.index] for c in run)))
        return records

    def _checkpoint(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._unfinished.during_sleep(self._left, state, tensors)

    def _note_sleep(self, result: SleepResult) -> None:
        note_sleep(self.memory.record, result, self.writer.home(result.record))
        self.writer.seal()
        for chunk in self.buffer.drain():
            if self.memory.record.chunks[chunk.index].sleep < 0:
                self.buffer.add(chunk)
        spent = self.ledger.state()
        self.memory.record.fet, self.memory.record.seconds = spent["fet"], spent["seconds"]

    # -- answer ---------------------------------------------------------------------------------------------------------------

    def answer(self, question: str, way: str = "") -> Answer:
        """Answer from the memory as it is, in the configured way or in `way`; in mid-stream with the live window in the prompt."""
        return self.wake.answer(question, way, self.window.text)

    def answers(self, questions: Sequence[str], way: str = "") -> list[Answer]:
        """Answer several questions from the memory; those that go to the same part of it together."""
        return self.wake.answers(questions, way)

    @cached_property
    def wake(self) -> Wake:
        """The door for questions."""
        return Wake(self.base, self.config, self.protocol, self.memory)

    # -- memory ---------------------------------------------------------------------------------------------------------------

    def _new_memory(self, journal: Journal | None) -> Memory:
        weights = make_fast_weights(self.base, self.config, self.protocol)
        text = EvictedText(journal.folder / "text") if journal else None
        memory = Memory(record=make_record(self.base, self.config, self.protocol), segments=[Segment(weights)], text=text)
        return memory if journal else memory.with_scratch_text()

    def _own_text(self) -> None:
        """Reading on must not touch the files of a saved memory: from here on the session works on a copy of its text, and its budget is
        the one that the record names."""
        text, folder = self.memory.text, self.memory.folder
        if text is None:
            raise UsageError(f"{self.memory.name} has forgotten its text and cannot be extended; sleep again on all of its documents")
        if self.protocol.retired:
            raise UsageError(
                f"{self.memory.name} was made with an earlier protocol, {self.protocol.id} ({self.protocol.sha256[:6]}), with which "
                "this nrem answers and does not write; sleep again on all of its documents"
            )
        if folder is not None and text.folder.is_relative_to(folder):
            self.memory.with_scratch_text(text)
        sleep = self.config.sleep
        self.memory.record.config.setdefault("sleep", {}).update(budget_fet=sleep.budget_fet, budget_seconds=sleep.budget_seconds)

    @in_turn
    def _finish(self) -> None:
        """Keep what the rule needs to go on later, and a question with the answer that the memory gives now, for anyone to check."""
        self.writer.seal()
        assert self.memory.text is not None
        for chunk in self.memory.text:
            if probes := self.writer.sleeper.questions_of(chunk):
                question = probes[0].question
                plain = Wake(self.base, replace(self.config, answer=AnswerConfig()), self.protocol, self.memory)  # as anyone will check it
                self.memory.record.canary = {"question": question, "answer": plain.answer(question, "direct").answer}
                return
