"""A session: a model with its window, its buffer and its fast weights. Three verbs: stream, sleep, answer.

    document -> chunks -> window (live context) --evict--> buffer --sleep--> fast weights -> memory

The nouns live in `nrem.memory`, the night in `nrem.consolidation.sleep`; this file connects them and keeps the record.
"""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.events import ChunkRead, ChunksEvicted, Listener, SleepEnded, ignore
from nrem.consolidation.guard import Guard
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.recall import RecallMeter
from nrem.consolidation.rule_gradient import GradientRule
from nrem.consolidation.sleep import Sleeper, SleepResult
from nrem.consolidation.split_model import SplitModel, cache_argument
from nrem.consolidation.study import StudyMaterial
from nrem.memory.buffer import EvictionBuffer
from nrem.memory.chunk import Chunk, cut_chunks
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.fast_weights import FastWeights
from nrem.memory.folder import Memory
from nrem.memory.journal import Journal
from nrem.memory.layers import lowest_layer
from nrem.memory.record import ChunkRecord, DocumentRecord, MemoryRecord, SleepRecord
from nrem.memory.text import EvictedText
from nrem.memory.window import Window
from nrem.runtime.answer import Answer, Answerer
from nrem.runtime.config import Config, config_from_dict, load_config, to_dict
from nrem.runtime.models import Base, load
from nrem.runtime.readers import Document, read_document

LIBRARIES = ("nrem", "torch", "transformers", "peft", "safetensors")
CHECKPOINT_SECONDS = 2.0


class Session:
    """Reads documents, sleeps on them, answers questions.

    >>> session = Session()                                   # doctest: +SKIP
    >>> session.stream("report.md")                           # doctest: +SKIP
    >>> print(session.answer("When was it signed?").answer)   # doctest: +SKIP

    Given a `Memory`, the session answers from it and can read on. With a `journal`, a killed session goes on from its last checkpoint when
    the same documents are streamed again.
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
        self.config = config or (config_from_dict(memory.record.config) if memory else load_config())
        self.base = base if isinstance(base, Base) else _load(base, self.config)
        self.listener = listener
        self.protocol = Protocol(self.base.tokenizer)
        self.answerer = Answerer(self.base, self.protocol, self.config.answer)
        self.ledger = Ledger(self.config.sleep.budget_fet or None)
        self.cost = CostModel.of(self.base.model)
        self.window = Window(self.config.stream, self.base.count_tokens)
        self.buffer = EvictionBuffer(self.config.stream.buffer_tokens)
        self._cache_name = cache_argument(self.base.model)
        self._cache: DynamicCache | None = None
        self._last_logits: Tensor | None = None
        self._journal = journal
        self._checked_at = 0.0
        self._scratch: Any = None
        if memory is None:
            generator = torch.Generator().manual_seed(self.config.seed)
            fast = FastWeights.create(self.base.model, self.config.fast_weights, generator)
            memory = Memory(record=self._new_record(), weights=fast, text=self._new_text())
        else:
            memory.check_base(self.base.identity)
        self.memory = memory
        self.split = SplitModel(self.base.model, lowest_layer(self.base.model, memory.weights.factors))
        self.material = StudyMaterial(
            self.protocol, self.config.probes, self.config.seed, longest_prefix=self.split.longest_prefix
        )
        self.sleeper = self._make_sleeper()
        self._resume = self._take_up_journal()
        self._done_chunks = len(self.memory.record.chunks)

    # -- stream ---------------------------------------------------------------------------------------------------------------

    def stream(self, document: Document | str | Path, *, finish: bool = True) -> Memory:
        """Read a document to its end, sleeping whenever the buffer is full; `finish` also sleeps on what is left in window and buffer.

        A `str` or `Path` is a file name; `Document.from_text` takes text itself. Raises `DocumentError` for a document that
        cannot be read and `SleepError` where a resumed document has changed.
        """
        document = document if isinstance(document, Document) else read_document(document)
        digest, characters = hashlib.sha256(), 0

        def watched() -> Iterator[str]:
            nonlocal characters
            for piece in document.pieces():
                digest.update(piece.encode())
                characters += len(piece)
                yield piece

        first = self._next_chunk_index()
        chunks: list[int] = []
        for chunk in cut_chunks(
            watched(),
            count_tokens=self.base.count_tokens,
            max_tokens=self.config.stream.chunk_tokens,
            document=document.name,
            title=document.title,
            first_index=first,
        ):
            chunks.append(chunk.num_tokens)
            if chunk.index < self._done_chunks:
                self._recognise(chunk)
            else:
                self._take_in(chunk)
        self._note_document(document, digest.hexdigest(), characters, chunks)
        if finish:
            self._evict(self.window.flush())
            self._clear_cache()
            if len(self.buffer):
                self.sleep()
            self._finish()
        return self.memory

    def _take_in(self, chunk: Chunk) -> None:
        """One new chunk: evict what does not fit, sleep if it is time, then read."""
        if evicted := self.window.push(chunk):
            self._clear_cache()
            self._evict(evicted)
            if self.buffer.full:
                self.sleep()
            if self.window.overlap:
                self._read(self.protocol.plain_ids(self.window.overlap))
        started = time.perf_counter()
        surprisals = self._read(self.protocol.plain_ids(chunk.text))
        record = ChunkRecord(
            document=chunk.document,
            index=chunk.index,
            start=chunk.start,
            end=chunk.end,
            num_tokens=chunk.num_tokens,
            surprisal=statistics.fmean(surprisals) if surprisals else 0.0,
            surprisal_median=statistics.median(surprisals) if surprisals else 0.0,
        )
        self.memory.record.chunks.append(record)
        speed = len(surprisals) / max(time.perf_counter() - started, 1e-9)
        self.listener(ChunkRead(chunk=chunk, surprisal=record.surprisal, tokens_per_second=speed))

    @torch.no_grad()
    def _read(self, ids: Sequence[int]) -> list[float]:
        """Read tokens into the window's cache with the bare base model; surprisals in nats, one a token (none for a window's first)."""
        if not ids:
            return []
        if self._cache is None:
            self._cache, self._last_logits = DynamicCache(config=self.base.model.config), None
        seen = self._cache.get_seq_length()
        tokens = torch.tensor([list(ids)], device=self.base.model.device)
        with self.ledger.debit("reading", self.cost.forward(len(ids), seen + len(ids) / 2)):
            logits = self.base.model(input_ids=tokens, use_cache=True, **{self._cache_name: self._cache}).logits[0].float()
        known = logits[:-1] if self._last_logits is None else torch.cat([self._last_logits, logits[:-1]])
        self._last_logits = logits[-1:]
        targets = tokens[0, -len(known) :] if len(known) else tokens[0, :0]
        return list((torch.logsumexp(known, -1) - known.gather(1, targets[:, None])[:, 0]).tolist())

    def _evict(self, chunks: Sequence[Chunk]) -> None:
        """From the window to the disk and the buffer."""
        for chunk in chunks:
            assert self.memory.text is not None
            self.memory.text.append(chunk)
            self.buffer.add(chunk)
        if chunks:
            self.listener(ChunksEvicted(chunks=tuple(chunks), buffer_tokens=self.buffer.num_tokens))

    def _clear_cache(self) -> None:
        self._cache = self._last_logits = None

    # -- sleep ----------------------------------------------------------------------------------------------------------------

    def sleep(self) -> SleepRecord:
        """Consolidate everything in the buffer into the fast weights, and empty it."""
        if not len(self.buffer):
            raise SleepError("sleep: the buffer is empty, nothing was evicted yet; stream a document first")
        chunks = self.buffer.drain()
        resume, self._resume = self._resume, None
        result = self.sleeper.sleep(
            len(self.memory.record.sleeps), chunks, self._replay(chunks), checkpoint=self._checkpoint, resume=resume
        )
        self._note_sleep(result)
        self._save_state(None, {})
        records = tuple(self.memory.record.chunks[i] for i in result.record.chunks)
        self.listener(SleepEnded(record=result.record, chunks=records))
        return result.record

    def _replay(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Chunks of earlier sleeps, spread evenly over them, from the evicted text."""
        assert self.memory.text is not None
        earlier = chunks[0].index
        count = min(earlier, round(self.config.sleep.replay * len(chunks)))
        shift = len(self.memory.record.sleeps)  # other chunks in every sleep
        return [self.memory.text.get((i * earlier // count + shift) % earlier) for i in range(count)] if count else []

    def _note_sleep(self, result: SleepResult) -> None:
        self.memory.record.sleeps.append(result.record)
        for p in result.progress:
            record = self.memory.record.chunks[p.chunk]
            record.sleep, record.passes, record.exit = result.record.index, p.passes, p.exit or ""
            record.num_probes, record.recall_before, record.recall_after = p.num_probes, p.recall[0], p.recall[-1]
        self.memory.record.fet, self.memory.record.seconds = self.ledger.state()["fet"], self.ledger.state()["seconds"]

    # -- answer ---------------------------------------------------------------------------------------------------------------

    def answer(self, question: str) -> Answer:
        """Answer from the fast weights; in mid-stream the live window is in the prompt as well."""
        if not question.strip():
            raise UsageError("question: got an empty one; ask something")
        with self.memory.attached(self.base.model):
            return self.answerer.ask(question, self.window.text)

    def answers(self, questions: Sequence[str]) -> list[Answer]:
        """Answer several questions together, closed book."""
        with self.memory.attached(self.base.model):
            return self.answerer.ask_all(questions)

    # -- record and resume ----------------------------------------------------------------------------------------------------

    def _make_sleeper(self) -> Sleeper:
        c, fast = self.config, self.memory.weights
        unrelated = resources.files("nrem.configs").joinpath("unrelated.txt").read_text(encoding="utf-8")
        return Sleeper(
            split=self.split,
            fast=fast,
            rule=GradientRule(self.split, fast, self.material, c.rule, self.ledger, self.cost),
            meter=RecallMeter(self.split, self.material, self.ledger, self.cost, fast.num_parameters),
            guard=Guard(self.base.model, self.protocol.plain_ids(unrelated, start=True), c.guard, self.ledger, self.cost),
            ledger=self.ledger,
            config=c.sleep,
            listener=self.listener,
        )

    def _new_record(self) -> MemoryRecord:
        return MemoryRecord(
            base=self.base.identity,
            protocol={"id": self.protocol.id, "sha256": self.protocol.sha256},
            config=to_dict(self.config),
            seed=self.config.seed,
            versions={name: metadata.version(name) for name in LIBRARIES},
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def _new_text(self) -> EvictedText:
        if self._journal is not None:
            return EvictedText(self._journal.folder / "text")
        self._scratch = tempfile.TemporaryDirectory(prefix="nrem-")
        return EvictedText(Path(self._scratch.name))

    def _next_chunk_index(self) -> int:
        return sum(d.num_chunks for d in self.memory.record.documents)

    def _note_document(self, document: Document, sha256: str, characters: int, chunks: Sequence[int]) -> None:
        self.memory.record.documents.append(
            DocumentRecord(
                name=document.name,
                title=document.title,
                sha256=sha256,
                num_characters=characters,
                num_tokens=sum(chunks),
                num_chunks=len(chunks),
            )
        )

    def _finish(self) -> None:
        """A question with the answer that the memory gives now, so that anyone can check later that it still does."""
        assert self.memory.text is not None
        for chunk in self.memory.text:
            if probes := self.material.held_out_probes(chunk):
                question = probes[0].question
                self.memory.record.canary = {"question": question, "answer": self.answer(question).answer}
                return

    def _checkpoint(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        if self._journal is not None and time.monotonic() - self._checked_at >= CHECKPOINT_SECONDS:
            self._save_state(state, tensors)

    def _save_state(self, sleep: dict[str, Any] | None, tensors: dict[str, Tensor]) -> None:
        """Everything needed to go on: the record so far, the ledger, and the sleep in progress if there is one."""
        if self._journal is None:
            return
        if sleep is None:
            tensors = {f"fast/{k}": v for k, v in self.sleeper.fast.tensors().items()}
            tensors |= {f"rule/{k}": v for k, v in self.sleeper.rule.state().items()}
        record = replace(self.memory.record, documents=[])
        self._journal.checkpoint({"record": record.to_dict(), "ledger": self.ledger.state(), "sleep": sleep}, tensors)
        self._checked_at = time.monotonic()

    def _take_up_journal(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Go back to the last checkpoint; returns the sleep that was cut off, if one was."""
        latest = self._journal.latest() if self._journal is not None else None
        if latest is None:
            if self.memory.text is not None and self._journal is not None:
                self.memory.text.truncate(0)
            return None
        state, tensors = latest
        assert self._journal is not None and self.memory.text is not None
        self.memory.record = MemoryRecord.from_dict(state["record"], str(self._journal.folder))
        if problem := self.base.identity.mismatch(self.memory.record.base):
            raise SleepError(f"{self._journal.folder}: the unfinished sleep was on another base model ({problem}); start again with --force")
        if self.memory.record.config != to_dict(self.config):
            raise SleepError(f"{self._journal.folder}: the unfinished sleep had another configuration; give the same one, or start again with --force")
        self.ledger.restore(state["ledger"])
        self.memory.text.truncate(len(self.memory.record.chunks))
        if state["sleep"] is not None:
            return state["sleep"], tensors
        parts = [{k.removeprefix(p): v for k, v in tensors.items() if k.startswith(p)} for p in ("fast/", "rule/")]
        self.sleeper.fast.restore(parts[0])
        self.sleeper.rule.restore(parts[1])
        return None

    def _recognise(self, chunk: Chunk) -> None:
        """A chunk that was read before the session was killed: check that it is the same, and go on where the sleep was cut off."""
        record = self.memory.record.chunks[chunk.index]
        assert self.memory.text is not None
        if self.memory.text.get(chunk.index) != chunk:
            raise SleepError(
                f"{chunk.document}: chunk {chunk.index} differs from the one that the unfinished sleep has read; give the same document, "
                "or start again with --force"
            )
        if record.sleep < 0:
            self.buffer.add(chunk)
        if chunk.index == self._done_chunks - 1 and self._resume is not None:
            self.sleep()


def consolidate(
    *documents: Document | str | Path,
    base: Base | str | None = None,
    passes: int | None = None,
    config: Config | None = None,
    listener: Listener = ignore,
) -> Memory:
    """Read documents, sleep on them, and return the memory; `passes` is the number of passes for every chunk.

    >>> memory = consolidate("report.md", passes=16)          # doctest: +SKIP
    >>> memory.save("memories/report")                        # doctest: +SKIP
    >>> Session(memory).answer("When was it signed?").answer  # doctest: +SKIP
    """
    if not documents:
        raise UsageError("consolidate: got no document; give at least one file name or Document")
    config = config or load_config()
    if passes is not None:
        config = replace(config, sleep=replace(config.sleep, passes=passes, allocator="uniform"))
    session = Session(base=base, config=config, listener=listener)
    for document in documents[:-1]:
        session.stream(document, finish=False)
    return session.stream(documents[-1])


def _load(name: str | None, config: Config) -> Base:
    c = config.model
    return load(name or c.name, c.load_in or None, c.dtype, c.revision or None)
