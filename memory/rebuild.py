"""A memory made from the chunks of others: merging two, and forgetting single chunks. Knows no model.

    chunks of one or two memories -> kept, renumbered -> record, evicted text and segments of a new memory

What an adapter holds follows either from statistics, which add up in any order, or from its texts, which are then written anew by a
`Rewrite` (the ridge rule): both give what a memory made of these chunks from the start would hold. What has neither (the gradient rule) can
be put side by side as segments, but not taken apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from nrem.memory.errors import BaseMismatchError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.names import told_apart
from nrem.memory.saved.record import ChunkRecord, DocumentRecord, MemoryRecord, SleepRecord
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.segment import Segment

Rewrite = Callable[[Sequence[Chunk], Mapping[int, int]], FastWeights]
"""Writes chunks into fast weights of their own, with as many passes of each as are given, by index."""


def merge(first: Memory, second: Memory, rewrite: Rewrite | None = None) -> Memory:
    """One memory of both: one adapter where one may hold everything (`segment_chunks` 0), else segments stand side by side.

    Raises `BaseMismatchError` for different base models and `UsageError` for different protocols.
    """
    if problem := first.record.base.mismatch(second.record.base):
        raise BaseMismatchError(f"merge: {second.name} was made for {second.record.base.short()} ({problem}): merge memories of one model")
    if first.record.protocol["sha256"] != second.record.protocol["sha256"]:
        theirs, mine = second.record.protocol["id"], first.record.protocol["id"]
        raise UsageError(f"merge: {second.name} was made with protocol {theirs}, {first.name} with {mine}: sleep again with one of them")
    offset, sleeps = len(first.record.chunks), len(first.record.sleeps)
    shift = {c.index: c.index + offset for c in second.record.chunks}
    written = first.segments[0].written, second.segments[0].written
    in_one = first.record.segment_chunks == 0 and len(first.segments) == len(second.segments) == 1
    documents, names = _told_apart(first.record, second.record)
    texts = None
    if first.text is not None and second.text is not None:
        moved_texts = (replace(chunk, index=shift[chunk.index]) for chunk in second.text)
        texts = [replace(chunk, document=names[chunk.index]) for chunk in (*first.text, *moved_texts)]
    if in_one and rewrite is not None and texts is not None:
        passes = [memory.record.passes_kept(c) for memory in (first, second) for c in memory.record.chunks]
        segments, shift_segment = [_rewritten(rewrite, texts, dict(enumerate(passes)))], 0
    elif in_one and written[0] and written[1]:
        both = written[0].joined(written[1].renumbered(shift))
        segments, shift_segment = [_solved(first.segments[0].weights, Segment(first.segments[0].weights, both))], 0
    else:
        moved = [segment.renumbered(shift) for segment in second.segments]
        segments, shift_segment = [*first.segments, *moved], len(first.segments)
    chunks = [
        replace(c, index=shift[c.index], segment=c.segment + shift_segment, sleep=c.sleep + sleeps if c.sleep >= 0 else -1)
        for c in second.record.chunks
    ]
    record = replace(
        first.record,
        documents=documents,
        chunks=[replace(c, document=names[c.index]) for c in (*first.record.chunks, *chunks)],
        sleeps=[*first.record.sleeps, *(_renumbered(s, shift, s.index + sleeps) for s in second.record.sleeps)],
        fet=_added(first.record.fet, second.record.fet),
        seconds=_added(first.record.seconds, second.record.seconds),
        canary={},
    )
    if texts is None and len(segments) > 1:
        raise UsageError("merge: finding the segment that a question is about needs the text of both, and one memory has forgotten its own")
    made = _memory(record, segments, texts, made_here=first.made_here and second.made_here)
    made.origins = {**first.origins, **second.origins}
    return made


def forget(memory: Memory, indices: Sequence[int], rewrite: Rewrite | None = None) -> Memory:
    """The memory without these chunks: out of the adapter, the text and the record; later chunks move up.

    Raises `UsageError` for an index that is not there, and where what is left follows from neither statistics nor texts.
    """
    gone, known = set(indices), {c.index for c in memory.record.chunks}
    if wrong := sorted(gone - known):
        raise UsageError(f"forget: {memory.name} has the chunks 0 to {len(known) - 1}, got {wrong[0]}; `nrem show` lists them")
    touched = {memory.record.chunks[i].segment for i in gone}
    if rewrite is not None and memory.text is None:
        raise UsageError(f"forget: {memory.name} has forgotten its text, which the others are written anew from; sleep again without them")
    if rewrite is None and any(memory.segments[i].written is None for i in touched):
        raise UsageError(f"forget: {memory.name} was written by a rule that cannot take chunks out again; sleep again without them")
    kept = [c for c in memory.record.chunks if c.index not in gone]
    if not kept:
        raise UsageError(f"forget: {memory.name} has no other chunks; delete it with `nrem rm`")
    shift = {c.index: new for new, c in enumerate(kept)}
    alive = sorted({c.segment for c in kept})
    texts = [replace(c, index=shift[c.index]) for c in memory.text if c.index in shift] if memory.text is not None else None
    segments = []
    for old in alive:
        moved = memory.segments[old].renumbered(shift)
        if old in touched and rewrite is not None and texts is not None:
            held = {shift[c.index]: memory.record.passes_kept(c) for c in kept if c.segment == old}
            segments.append(_rewritten(rewrite, texts, held))
        else:
            segments.append(_solved(moved.weights, moved) if old in touched else moved)
    record = replace(
        memory.record,
        documents=_documents_without(memory.record, [memory.record.chunks[i] for i in gone]),
        chunks=[replace(c, index=shift[c.index], segment=alive.index(c.segment)) for c in kept],
        sleeps=[_renumbered(s, shift, s.index) for s in memory.record.sleeps],
        canary={},
    )
    made = _memory(record, segments, texts, made_here=memory.made_here)
    made.origins = dict(memory.origins)
    return made


def _told_apart(*records: MemoryRecord) -> tuple[list[DocumentRecord], list[str]]:
    """The documents of all, each under a name of its own, and for every chunk the name of its document."""
    given = [document for record in records for document in record.documents]
    documents = [replace(document, name=name) for document, name in zip(given, told_apart([d.name for d in given]), strict=True)]
    rest, names = iter(documents), list[str]()
    for record in records:
        for document in record.documents:  # by place: earlier versions gave two documents one name
            names += [next(rest).name] * document.num_chunks
        names += [c.document for c in record.chunks[record.num_chunks :]]
    return documents, names


def _rewritten(rewrite: Rewrite, texts: Sequence[Chunk], passes: Mapping[int, int]) -> Segment:
    """These chunks, as far as passes over them were kept, in an adapter of their own."""
    return Segment(rewrite([chunk for chunk in texts if passes.get(chunk.index)], passes))


def _solved(weights: FastWeights, segment: Segment) -> Segment:
    """The segment with fast weights of its own that follow from its statistics."""
    assert segment.written is not None
    fresh = weights.copy()
    segment.written.write_into(fresh)
    return Segment(fresh, segment.written)


def _memory(record: MemoryRecord, segments: Sequence[Segment], texts: Iterable[Chunk] | None, *, made_here: bool) -> Memory:
    memory = Memory(record=record, segments=segments, text=None)
    memory.made_here = made_here
    return memory if texts is None else memory.with_scratch_text(texts)


def _documents_without(record: MemoryRecord, gone: Sequence[ChunkRecord]) -> list[DocumentRecord]:
    """The documents with what is left of them; their hash stays that of the whole document."""
    out, start, indices = [], 0, {c.index for c in gone}
    for document in record.documents:  # by place: two documents may have one name
        mine = [c for c in record.chunks[start : start + document.num_chunks] if c.index in indices]
        start += document.num_chunks
        left = replace(
            document,
            num_chunks=document.num_chunks - len(mine),
            num_tokens=document.num_tokens - sum(c.num_tokens for c in mine),
            num_characters=document.num_characters - sum(c.end - c.start for c in mine),
        )
        if left.num_chunks:
            out.append(left)
    return out


def _renumbered(sleep: SleepRecord, shift: Mapping[int, int], index: int) -> SleepRecord:
    chunks = [shift[i] for i in sleep.chunks if i in shift]
    return replace(sleep, index=index, chunks=chunks, replayed=[shift[i] for i in sleep.replayed if i in shift])


def _added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {key: first.get(key, 0.0) + second.get(key, 0.0) for key in {**first, **second}}
