"""A memory: fast weights with their provenance, in memory or in a folder that PEFT opens by itself."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from torch import nn

from nrem.memory.arguments import check_kind
from nrem.memory.errors import BaseMismatchError, InUseError, MemoryFolderError, SleepError, UsageError
from nrem.memory.names import printable
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.card import model_card
from nrem.memory.saved.files import CARD, MEMORY, STATISTICS, TEXT, TEXT_CHUNKS, TEXT_INDEX, WRITTEN, segment_folder
from nrem.memory.saved.fingerprint import weights_sha256
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.leftovers import tidy
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.own import of_memory
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.saved.record_counts import check_counts
from nrem.memory.saved.record_file import keeps_text, read_checked_record, write_record
from nrem.memory.saved.replace import NEW, beside, one_mode, place_folder, replace_folder
from nrem.memory.saved.scratch import Scratch
from nrem.memory.saved.stamp import Stamp, stamp_of
from nrem.memory.saved.target import check_target, real_target
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.segment import FILES, Segment
from nrem.memory.weights.turns import turn


class Route(NamedTuple):
    """Which part of a memory answers a question."""

    segment: int
    shares: tuple[tuple[int, float], ...] = ()
    """(chunk, how far what it left counts, 0 to 1), of any segment; none for all of this segment, as its adapter holds it."""


EVERYTHING = Route(0)
"""The first segment, as a rule the only one."""

_in_use: WeakSet[nn.Module] = WeakSet()


class Memory:
    """A consolidation: `record` (what happened), `segments` (what was written), `text` (what was read, if kept)."""

    def __init__(self, *, record: MemoryRecord, segments: Sequence[Segment], text: EvictedText | None, folder: Path | None = None) -> None:
        self.record, self.segments, self.text, self.folder = record, list(segments), text, folder
        self.made_here = folder is None
        """Whether this process made it, and its record says what the user asked for; one that was read may come from anybody."""
        self.origins: dict[Path, Stamp] = {}
        """Where what it is made of was read or saved, and what lay there then."""
        self.scratch: Any = None
        """Whatever must live as long as `text` does."""

    def with_scratch_text(self, chunks: Iterable[Chunk] = ()) -> Self:
        """Keep these chunks as the evicted text, in a folder that lives as long as the memory."""
        scratch = Scratch()
        text = EvictedText(scratch.folder / TEXT)
        for chunk in chunks:  # these may lie in the folder that goes now
            text.append(chunk)
        self.scratch, self.text = scratch, text
        return self

    @property
    def weights(self) -> FastWeights:
        """The fast weights of the first segment, as a rule the only one."""
        return self.segments[0].weights

    @property
    def name(self) -> str:
        """For messages: where it lies, or that it was not saved yet."""
        return str(self.folder) if self.folder else "this memory"

    def save(self, path: str | Path, *, force: bool = False, forget_text: bool = False) -> Path:
        """Write the folder, whole or not at all; `force` replaces an older memory, and never anything else: files of others that lie in its
        folder stay there. A symbolic link is followed. Returns the folder.

        Raises `InUseError` where another process writes there, or has written since this memory was read from there, and `SleepError` where
        a document is not read to its end: what `load` would refuse is not written.
        """
        check_kind("path", path, (str, Path), "the name of a folder")
        target = real_target(Path(path))
        with one_writer(target, "Memory.save"):
            check_target(target, force=force)
            if self.changed(target):
                raise InUseError(
                    f"{target}: was changed by another program since it was opened here; open it again and repeat what you did, or save "
                    "under another name"
                )
            segments = self.segments[: self.record.num_segments]  # the last may have been opened, and nothing written into it
            if forget_text and len(segments) > 1:
                raise UsageError(
                    f"{target}: a memory of {len(segments)} segments needs its text to find the one that a question is about; "
                    "keep the text, or sleep with --set fast_weights.segment_chunks=0 to write all into one adapter"
                )
            _check_read_to_the_end(self.record, self.text, target)
            check_counts(self.record, str(target))
            _check_fit(self.record, segments, self.text, target)
            made = beside(target, NEW)
            try:
                made.mkdir()
                self._write(made, segments, printable(target.name), forget_text=forget_text)
                one_mode(made, target)
                if (target / MEMORY).exists():
                    replace_folder(made, target, of_memory)
                else:
                    place_folder(made, target)
            except BaseException:
                tidy(target)
                raise
            self.folder = target
            self._note_origin(target)  # under the lock: what another writes next is not ours
        return target

    def changed(self, folder: Path | None = None) -> bool:
        """Whether another memory lies in a folder now than when this one was read from there, or saved; its own folder where none is named.
        False where this memory has nothing to do with what lies there."""
        if (place := folder or self.folder) is None or (known := self.origins.get(place.resolve())) is None:
            return False
        return stamp_of(place) not in (known, None)

    def _note_origin(self, folder: Path) -> None:
        if (stamp := stamp_of(folder)) is not None:
            self.origins[folder.resolve()] = stamp

    def _write(self, made: Path, segments: Sequence[Segment], name: str, *, forget_text: bool) -> None:
        """All files, into a new folder."""
        for index, segment in enumerate(segments):
            segment_folder(made, index).mkdir(exist_ok=True)
            first = segments[0] if index else None
            segment.save(segment_folder(made, index), self.record.base.name, self.record.base.revision, first)
        if self.text is not None and len(self.text) and not forget_text:
            (made / TEXT).mkdir()
            shutil.copyfile(self.text.path, made / TEXT / TEXT_CHUNKS)
            EvictedText(made / TEXT).save_index()
        folders = [segment_folder(made, index) for index in range(len(segments))]
        texts = (made / TEXT / TEXT_CHUNKS, made / TEXT / TEXT_INDEX)
        kept = [path for path in (*(f / name for f in folders for name in FILES), *texts) if path.exists()]
        if self.text is not None:
            for chunk, read in zip(self.record.chunks, self.text, strict=True):
                chunk.dreamt = len(read.dreamt)
        self.record.files = {path.relative_to(made).as_posix(): sha256_file(path) for path in kept}
        self.record.forgot_text = forget_text or self.text is None
        write_record(made, self.record)
        (made / CARD).write_text(model_card(self.record, name), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder; refuses, in one sentence, what is missing, damaged, changed or of a newer schema."""
        check_kind("path", path, (str, Path), "the name of a memory's folder")
        folder = Path(path)
        before = stamp_of(folder)
        record = read_checked_record(folder)
        segments: list[Segment] = []
        for index in range(record.num_segments):
            place = segment_folder(folder, index)
            named = {name for name in (STATISTICS, WRITTEN) if (place / name).relative_to(folder).as_posix() in record.files}
            first = segments[0] if index and WRITTEN in named else None
            segments.append(Segment.load(place, statistics=STATISTICS in named, first=first))
        text = EvictedText(folder / TEXT) if keeps_text(record) else None
        _check_fit(record, segments, text, folder)
        found = cls(record=record, segments=segments, text=text, folder=folder)
        found._note_origin(folder)
        if before is not None and before != found.origins.get(folder.resolve()):
            raise MemoryFolderError(f"{folder}: was changed by another program while it was read; try again")
        return found

    def save_adapter(self, path: str | Path, segment: int = 0) -> Path:
        """Write one segment as a folder that PEFT opens by itself, as it opens the memory's own for the first; returns it.

        Raises `UsageError` for a segment that is not there, and where the folder exists.
        """
        folder, count = Path(path), self.record.num_segments
        if not 0 <= segment < count:
            raise UsageError(f"segment: got {segment}, and {self.name} has {count}, from 0; `nrem show` says which chunk is in which")
        if folder.exists():
            raise UsageError(f"{folder}: exists already; give another folder")
        folder.mkdir(parents=True)
        self.segments[segment].weights.save(folder, self.record.base.name, self.record.base.revision)
        return folder

    def save_pretrained(self, path: str | Path, **options: Any) -> Path:
        """`save` under the name that PEFT and transformers use."""
        return self.save(path, **options)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """`load` under the name that PEFT and transformers use."""
        return cls.load(path)

    def check_base(self, base: BaseIdentity) -> None:
        """Raise `BaseMismatchError` when the memory was made for another model or tokenizer."""
        if problem := self.record.base.mismatch(base):
            raise BaseMismatchError(
                f"{self.name} was made for {self.record.base.short()}, got {base.short()} ({problem}): load the first model, "
                "or sleep again with this one"
            )

    def route(self, question: str) -> Route:
        """Where a question is answered from: the chunks that a search for it finds, by how well they match, or the first one's segment.

        Where nothing is found, or the text was not kept, that is all of the first segment. What had no pass is answered with nothing
        written: other chunks would only mislead.
        """
        check_kind("question", question, str, "a question as text")
        wanted = self.record.question_chunks
        if self.text is None or (len(self.segments) == 1 and not wanted):
            return EVERYTHING
        shares = self.text.shares(question, max(1, wanted))
        if not shares:
            return EVERYTHING
        best = next(iter(shares))
        segment = self.record.chunks[best].segment
        written = self.segments[segment].written
        if not wanted or not written:
            return Route(segment)
        return Route(segment, tuple(sorted(shares.items())) if best in written.chunks else ((best, 1.0),))

    def by_route(self, questions: Sequence[str]) -> dict[Route, list[int]]:
        """The numbers of the questions that are answered from the same chunks, in the order of the chunks."""
        routed = [self.route(question) for question in questions]
        return {route: [n for n, r in enumerate(routed) if r == route] for route in sorted(set(routed))}

    @contextmanager
    def attached(self, model: nn.Module, route: Route = EVERYTHING) -> Iterator[nn.Module]:
        """Lend fast weights to the model, a segment's or those of a few of its chunks; afterwards, also after an exception, it is the base
        again, bit for bit. Other threads that work with the model wait until then."""
        with self.lent(model, route):
            yield model

    @contextmanager
    def lent(self, model: nn.Module, route: Route = EVERYTHING) -> Iterator[FastWeights]:
        """`attached`, for who wants what is attached: it can be silenced meanwhile."""
        check_kind("model", model, nn.Module, "the base model, such as load_model().model")
        with turn(model):
            self._check_weights(model)
            _in_use.add(model)
            try:
                with (weights := self._weights(route).to(next(model.parameters()).device)).attached(model):
                    yield weights
            finally:
                _in_use.discard(model)

    def _check_weights(self, model: nn.Module) -> None:
        digest = weights_sha256(model)
        if digest != self.record.base.weights_sha256:
            raise BaseMismatchError(
                f"{self.name} was made for {self.record.base.short()}, got a model with weights {digest[:6]}: load the first model, "
                "or sleep again with this one"
            )
        if model in _in_use:
            raise SleepError("a memory is already attached to this model, and two would add up: leave the first `with` block")

    def _weights(self, route: Route) -> FastWeights:
        segment = self.segments[route.segment]
        if not route.shares:
            return segment.weights
        assert segment.written is not None, "only what has statistics can be told apart"
        homes = {index: self.segments[self.record.chunks[index].segment].written for index, _ in route.shares}
        held = {index: written.chunks[index] for index, written in homes.items() if written and index in written.chunks}
        return Segment(segment.weights, replace(segment.written, chunks=held)).of_chunks(dict(route.shares))

    @property
    def num_bytes(self) -> int:
        """Size of the adapters' weights as files keep them, bytes: what they share counts once."""
        first, *later = self.segments[: self.record.num_segments]
        return first.num_bytes() + sum(segment.num_bytes(first) for segment in later)


def _check_read_to_the_end(record: MemoryRecord, text: EvictedText | None, target: Path) -> None:
    """Raise `SleepError` where chunks are missing: in the documents, which are noted when they end, or in the text, for those that stand in
    a session's window still."""
    count, noted, kept = len(record.chunks), record.num_chunks, None if text is None else len(text)
    if noted < count or kept not in (count, None):
        of = f"{noted} are of documents that have ended" + ("" if kept is None else f" and {kept} have left the window")
        raise SleepError(
            f"{target}: not saved, since a document is not read to its end: of {count} chunks {of}; give it to Session.stream again, "
            "or the next one, with finish=True, then save"
        )


def _check_fit(record: MemoryRecord, segments: Sequence[Segment], text: EvictedText | None, folder: Path) -> None:
    """The parts are of one memory: each is whole by its hash, and here they are held against each other."""
    count = len(record.chunks)
    if text is not None and len(text) != count:
        raise MemoryFolderError(f"{folder}: its text has {len(text)} chunks, and {count} are recorded; restore it or sleep again")
    for segment in segments:
        if segment.written and (foreign := [index for index in segment.written.chunks if not 0 <= index < count]):
            raise MemoryFolderError(f"{folder}: has statistics of chunk {foreign[0]}, and {count} are recorded; restore it or sleep again")
    if not all(segment.modules & segments[0].modules for segment in segments):  # one in which nothing was written is left out of a file
        raise MemoryFolderError(f"{folder}: its segments adapt other modules than the first one; restore it or sleep again")
