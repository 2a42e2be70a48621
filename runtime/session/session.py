"""A session: a model with its window, its buffer and its fast weights. Three verbs: stream, sleep, answer.

    document -> chunks -> window (live context) --evict--> buffer --sleep--> fast weights -> memory

The nouns live in `nrem.memory`, the night in `nrem.consolidation.sleep`, what a session is made of in `parts`; this file connects them and
keeps the record.
"""

import hashlib
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ChunkRead, Listener, NightEnded, SleepEnded, ignore
from nrem.consolidation.sleep import SleepResult
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.record import ChunkRecord, DocumentRecord, SleepRecord
from nrem.memory.stream.buffer import EvictionBuffer
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.stream.window import Window
from nrem.memory.text.evicted import EvictedText
from nrem.memory.weights.segment import Segment
from nrem.memory.weights.turns import in_turn, turn
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.models.load import Base
from nrem.runtime.parts import check_parts, config_of, load_base, make_dreamer, make_fast_weights, make_protocol, make_record
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import read_document
from nrem.runtime.session.eviction import Eviction
from nrem.runtime.session.live import LiveContext
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

    Given a `Memory`, the session answers from it and can read on. With a `journal`, a killed session goes on from its last checkpoint when
    the same documents are streamed again. Sessions in several threads may share a base model: they take turns, chunk by chunk, sleep by
    sleep and question by question.
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
        self.base = base if isinstance(base, Base) else load_base(self.config, base or "")
        if memory is not None:
            memory.check_base(self.base.identity)
        self.listener = listener
        with turn(self.base.model):  # where there is none, one is measured
            self.protocol = make_protocol(self.base, self.config, memory.record if memory else None)
        if memory is not None:
            memory.record.protocol.setdefault("rule", self.protocol.rule)  # schema 1 did not name it
        self.ledger = Ledger(self.config.sleep.budget_fet or None, self.config.sleep.budget_seconds or None)
        self.window = Window(self.config.stream, self.base.count_tokens)
        self.buffer = EvictionBuffer(self.config.stream.buffer_tokens)
        self.live = LiveContext(self.base, self.protocol, self.ledger)
        self.memory = memory or self._new_memory(journal)
        self.ledger.restore({"fet": self.memory.record.fet, "seconds": self.memory.record.seconds})
        self._unfinished, self._cut_off = Unfinished(journal), CutOff()
        if journal is not None:
            with turn(self.base.model):
                self._cut_off = self._unfinished.take_up(self.base, to_dict(self.config), self.ledger, self.writer)
        self._known = len(self.memory.record.chunks)
        """Chunks that an earlier session has read."""

    @cached_property
    def writer(self) -> SegmentWriter:
        """What sleeps; a session that only answers makes none."""
        return SegmentWriter(self.base, self.config, self.protocol, self.memory, self.ledger, self.listener)

    # -- stream ---------------------------------------------------------------------------------------------------------------

    def stream(self, document: Document | str | Path, *, finish: bool = True) -> Memory:
        """Read a document to its end, sleeping whenever the buffer is full; `finish` also sleeps on what is left in window and buffer.

        A `str` or `Path` is a file name; `Document.from_text` takes text itself. Raises `DocumentError` for a document that
        cannot be read and `SleepError` where a resumed document has changed.
        """
        document = document if isinstance(document, Document) else read_document(document)
        self._own_text()
        digest, characters = hashlib.sha256(), 0

        def watched() -> Iterator[str]:
            nonlocal characters
            for piece in document.pieces():
                digest.update(piece.encode())
                characters += len(piece)
                yield piece

        tokens: list[int] = []
        for chunk in cut_chunks(
            watched(),
            count_tokens=self.base.count_tokens,
            max_tokens=self.config.stream.chunk_tokens,
            document=document.name,
            title=document.title,
            first_index=self.memory.record.num_chunks,
        ):
            tokens.append(chunk.num_tokens)
            self._take_in(chunk)
        self.memory.record.documents.append(
            DocumentRecord(
                name=document.name,
                title=document.title,
                sha256=digest.hexdigest(),
                num_characters=characters,
                num_tokens=sum(tokens),
                num_chunks=len(tokens),
            )
        )
        if finish:
            self._check_nothing_missing()
            self._evict(self.window.flush())
            if len(self.buffer):
                self.sleep()
            self._finish()
            self.listener(NightEnded(record=self.memory.record))
        return self.memory

    def read(self, *documents: Document | str | Path) -> Memory:
        """Stream several documents; the session finishes with the last. Raises `UsageError` for none."""
        if not documents:
            raise UsageError("documents: got none; give at least one file name or Document")
        for document in documents[:-1]:
            self.stream(document, finish=False)
        return self.stream(documents[-1])

    @in_turn
    def _take_in(self, chunk: Chunk) -> None:
        """One new chunk: evict what does not fit, sleep if it is time, then read."""
        known = chunk.index < self._known
        if evicted := self.window.push(chunk):
            self._evict(evicted)
            if self.buffer.full or evicted[-1].index + 1 == self._cut_off.at:
                self.sleep()
            if self.window.overlap and not known:
                self.live.read(self.window.overlap, required=not self.memory.record.sleeps)
        if known:
            return
        started = time.perf_counter()
        surprisals = self.live.read(chunk.text, required=not self.memory.record.sleeps)
        record = ChunkRecord(
            document=chunk.document,
            index=chunk.index,
            start=chunk.start,
            end=chunk.end,
            num_tokens=chunk.num_tokens,
            surprisal=statistics.fmean(surprisals) if surprisals else 0.0,
            surprisal_median=statistics.median(surprisals) if surprisals else 0.0,
            exit="empty" if chunk.says_nothing else "",
        )
        self.memory.record.chunks.append(record)
        speed = len(surprisals) / max(time.perf_counter() - started, 1e-9)
        self.listener(ChunkRead(chunk=chunk, surprisal=record.surprisal, tokens_per_second=speed))

    def _evict(self, chunks: Sequence[Chunk]) -> None:
        """From the window to disk and buffer."""
        self.live.drop()
        self.eviction.take(chunks)

    @cached_property
    def eviction(self) -> Eviction:
        """What takes in what leaves the window."""
        dreamer = make_dreamer(self.base, self.config, self.protocol, self.ledger)
        return Eviction(self.base, self.memory, self.buffer, dreamer, self.listener)

    def _check_nothing_missing(self) -> None:
        """Of a run that goes on: other documents may begin like those that it read, and end earlier."""
        read = self.memory.record.num_chunks
        if len(self.memory.record.chunks) > read:
            known = len(self.memory.record.chunks)
            raise SleepError(
                f"{self.memory.record.documents[-1].name}: ends after {read} chunks, but the unfinished sleep has read {known}; give the "
                "same document, or start again with --force"
            )

    # -- sleep ----------------------------------------------------------------------------------------------------------------

    @in_turn
    def sleep(self) -> list[SleepRecord]:
        """Consolidate everything in the buffer into the fast weights, and empty it: one sleep for each segment that it goes to."""
        if not len(self.buffer):
            raise SleepError("sleep: the buffer is empty, nothing was evicted yet; stream a document first")
        chunks, records = self.buffer.drain(), []
        for run in self.writer.deal(chunks):
            resume, self._cut_off = self._cut_off.sleep, CutOff()
            result = self.writer.sleeper.sleep(
                len(self.memory.record.sleeps),
                run,
                self.writer.replay(run),
                signals={c.index: self.memory.record.chunks[c.index].signals for c in run},
                price=self.memory.record.sleeps[-1].price if self.memory.record.sleeps else None,
                checkpoint=self._checkpoint,
                resume=resume,
            )
            self._note_sleep(result)
            self._unfinished.after_sleep(self.memory, self.ledger, self.writer, more=run[-1] is not chunks[-1])
            records.append(result.record)
            self.listener(SleepEnded(record=result.record, chunks=tuple(self.memory.record.chunks[c.index] for c in run)))
        return records

    def _checkpoint(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self._unfinished.during_sleep(self.memory, self.ledger, state, tensors)

    def _note_sleep(self, result: SleepResult) -> None:
        home = self.writer.home(result.record.passes)
        self.memory.record.sleeps.append(result.record)
        for p in result.progress:
            record = self.memory.record.chunks[p.chunk]
            record.sleep, record.segment = result.record.index, home
            record.passes, record.exit, record.pass_fet = p.passes, p.exit or "", p.signals.get("pass_fet", 0.0)
            record.num_probes, record.recall_before, record.recall_after = p.num_probes, p.recall[0], p.recall[-1]
            record.nll_before, record.nll_after = p.nll[0], p.nll[-1]
            record.looked_at, record.recall, record.nll = list(p.looked_at), list(p.recall), list(p.nll)
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
        """Reading on must not touch the files of a saved memory: from here on the session works on a copy of its text."""
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
