"""Extend, merge, forget: each equals the memory made from scratch with the same statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nrem.consolidation.protocol.folder import save_protocol
from nrem.consolidation.read import batches as sleep_texts
from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory, Route
from nrem.memory.rebuild import forget, merge
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.statistics import Statistics, WrittenStatistics
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.session import Session
from tests import tiny

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."


@pytest.fixture(scope="module")
def protocol(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocols") / "tiny"
    return save_protocol(folder, tiny.make_keyed_protocol(llama), llama.identity, {})


def sleep_on(base: Base, protocol: Path, *texts: str, settings: tuple[str, ...] = ()) -> Memory:
    """A memory of three passes."""
    config = tiny.make_config(f"protocol.name={protocol}", "sleep.passes=3", "sleep.allocator=uniform", "guard.enabled=false", *settings)
    documents = [Document.from_text(text, f"document {number}") for number, text in enumerate(texts)]
    return consolidate(*documents, base=base, config=config)


def same_weights(first: Memory, second: Memory, atol: float = 1e-5) -> bool:
    pairs = zip(first.segments, second.segments, strict=True)
    return all(torch.allclose(a.B, b.B, atol=atol) for s, t in pairs for a, b in _factors(s.weights, t.weights))


def _factors(first, second):  # type: ignore[no-untyped-def]
    return zip(first.factors.values(), second.factors.values(), strict=True)


def test_merged_equals_slept_on_together(llama: Base, protocol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside_others = sleep_on(llama, protocol, tiny.STORY, OTHER)
    monkeypatch.setattr(sleep_texts, "BATCH_TOKENS", 1)
    both = sleep_on(llama, protocol, tiny.STORY, OTHER)
    first, second = sleep_on(llama, protocol, tiny.STORY), sleep_on(llama, protocol, OTHER)
    merged = merge(first, second)
    assert same_weights(merged, both)
    assert not same_weights(first, both)
    # in another batch an entry of M may differ in its last bit, and be kept rounded the other way
    assert same_weights(merged, beside_others, atol=1e-4)
    assert merged.text is not None
    assert both.text is not None
    assert [c.text for c in merged.text] == [c.text for c in both.text]
    assert [c.index for c in merged.record.chunks] == list(range(len(both.record.chunks)))
    merged.save(tmp_path / "merged")
    assert same_weights(Memory.load(tmp_path / "merged"), both)


def test_forgetting_undoes_merging(llama: Base, protocol: Path) -> None:
    alone = sleep_on(llama, protocol, tiny.STORY)
    merged = merge(alone, sleep_on(llama, protocol, OTHER))
    count = len(alone.record.chunks)
    left = forget(merged, range(count, len(merged.record.chunks)))
    assert same_weights(left, alone)
    assert left.text is not None
    assert all("Ines Vow" not in chunk.text for chunk in left.text)
    assert [d.name for d in left.record.documents] == ["document 0"]
    first_gone = forget(merged, range(count))
    assert same_weights(first_gone, sleep_on(llama, protocol, OTHER))
    assert [c.index for c in first_gone.record.chunks] == list(range(len(first_gone.record.chunks)))


def test_extended_equals_slept_on_together_and_leaves_the_saved_one_alone(llama: Base, protocol: Path, tmp_path: Path) -> None:
    sleep_on(llama, protocol, tiny.STORY).save(tmp_path / "old")
    before = (tmp_path / "old" / "text" / "chunks.jsonl").read_bytes()
    longer = extend(Memory.load(tmp_path / "old"), Document.from_text(OTHER, "document 1"), base=llama)
    config = tiny.make_config(f"protocol.name={protocol}", "sleep.passes=3", "sleep.allocator=uniform", "guard.enabled=false")
    session = Session(base=llama, config=config)
    session.stream(Document.from_text(tiny.STORY, "document 0"))
    assert same_weights(longer, session.stream(Document.from_text(OTHER, "document 1")))
    assert (tmp_path / "old" / "text" / "chunks.jsonl").read_bytes() == before
    assert [d.name for d in longer.record.documents] == ["document 0", "document 1"]


def test_segments_hold_so_many_chunks_of_one_document(llama: Base, protocol: Path, tmp_path: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=("fast_weights.segment_chunks=2",))
    held = [[c for c in memory.record.chunks if c.segment == i] for i in range(len(memory.segments))]
    assert len(memory.segments) > 2
    assert all(1 <= len(chunks) <= 2 and len({c.document for c in chunks}) == 1 for chunks in held)
    memory.save(tmp_path / "memory")
    loaded = Memory.load(tmp_path / "memory")
    assert same_weights(loaded, memory)
    assert loaded.route("Who built the mill of Sarn?") == Route(memory.record.chunks[-1].segment)
    with pytest.raises(UsageError, match="needs its text"):
        memory.save(tmp_path / "forgetful", forget_text=True)
    left = forget(loaded, [c.index for c in held[0]])
    assert len(left.segments) == len(memory.segments) - 1
    assert {c.segment for c in left.record.chunks} == set(range(len(left.segments)))


def test_segments_of_two_memories_stand_side_by_side(llama: Base, protocol: Path) -> None:
    settings = ("fast_weights.segment_chunks=8",)
    first, second = (sleep_on(llama, protocol, text, settings=settings) for text in (tiny.STORY, OTHER))
    merged = merge(first, second)
    assert len(merged.segments) == 2
    with merged.attached(llama.model, Route(1)):
        theirs = tiny.logits_of(llama)
    with second.attached(llama.model):
        assert torch.equal(tiny.logits_of(llama), theirs)
    answers = Session(merged, base=llama).answers(["Who built the mill of Sarn?", "Who kept the Orrin lighthouse?"])
    assert [a.question for a in answers] == ["Who built the mill of Sarn?", "Who kept the Orrin lighthouse?"]


def test_a_question_about_what_had_no_pass_is_answered_with_nothing_written(llama: Base, protocol: Path) -> None:
    settings = ("fast_weights.question_chunks=1",)
    both, nothing = (sleep_on(llama, protocol, tiny.STORY, OTHER, settings=(*settings, *more)) for more in ((), ("sleep.passes=0",)))
    last, written = len(both.record.chunks) - 1, both.segments[0].written
    assert written is not None
    del written.chunks[last]
    with nothing.attached(llama.model):
        expected = tiny.logits_of(llama)
    with both.attached(llama.model, both.route("Who built the mill of Sarn?")):
        assert torch.equal(tiny.logits_of(llama), expected)


def test_a_question_is_answered_from_the_chunks_that_search_finds(llama: Base, protocol: Path, tmp_path: Path) -> None:
    settings = ("fast_weights.question_chunks=1",)
    alone = sleep_on(llama, protocol, OTHER, settings=settings)
    both = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=settings)
    both.save(tmp_path / "both")
    loaded, last = Memory.load(tmp_path / "both"), len(both.record.chunks) - 1
    question = "Who built the mill of Sarn?"
    assert loaded.route(question) == Route(0, ((last, 1.0),))
    with alone.attached(llama.model):
        expected = tiny.logits_of(llama)
    with loaded.attached(llama.model, loaded.route(question)):
        assert torch.allclose(tiny.logits_of(llama), expected, atol=1e-4)
    with loaded.attached(llama.model):  # what PEFT opens holds everything
        assert not torch.allclose(tiny.logits_of(llama), expected, atol=1e-2)
    assert loaded.route("xyzzy") == Route(0)
    mine, theirs = both.record.chunks[last], alone.record.chunks[0]
    assert mine.nll == pytest.approx(theirs.nll, abs=1e-4)  # its probes are asked of it alone, too
    asked = [question, "Who kept the Orrin lighthouse?", question]
    assert [a.question for a in Session(loaded, base=llama).answers(asked)] == asked


def test_what_cannot_be_done_is_refused(llama: Base, other_llama: Base, protocol: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY)
    with pytest.raises(UsageError, match=r"forget: this memory has the chunks 0 to \d+, got 99"):
        forget(memory, [99])
    with pytest.raises(UsageError, match="has no other chunks"):
        forget(memory, [c.index for c in memory.record.chunks])
    studied = consolidate(Document.from_text(OTHER), base=llama, config=tiny.make_config())
    with pytest.raises(UsageError, match="cannot take chunks out again"):
        forget(studied, [0])
    with pytest.raises(UsageError, match="merge: this memory was made with protocol untrained"):
        merge(memory, studied)
    memory.record.base = replace(memory.record.base, weights_sha256="0" * 64)
    with pytest.raises(Exception, match="merge memories of one model"):
        merge(sleep_on(llama, protocol, OTHER), memory)


def test_statistics_survive_their_file() -> None:
    generator = torch.Generator().manual_seed(0)
    written = WrittenStatistics({"m.a": 2.0 * torch.eye(2)}, {"m.a": torch.tensor(0.5)}, 3)
    left = Statistics(torch.randn(2, 2, generator=generator), torch.randn(4, 2, generator=generator))
    written.chunks[7] = {"m.a": left.as_kept()}
    assert torch.allclose(left.M, left.as_kept().M, rtol=2**-8)
    again = WrittenStatistics.from_tensors(written.tensors())
    assert again.reader_rank == 3
    assert torch.equal(again.chunks[7]["m.a"].M, written.chunks[7]["m.a"].M)
    assert torch.equal(again.damping["m.a"], written.damping["m.a"])
    assert again.gain == written.gain


def test_chunks_of_several_segments_answer_by_their_shares(llama: Base, protocol: Path) -> None:
    settings = ("fast_weights.segment_chunks=1", "fast_weights.question_chunks=2")
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=settings)
    last = len(memory.record.chunks) - 1
    route = Route(memory.record.chunks[last].segment, ((0, 0.25), (last, 1.0)))
    held = [memory.segments[memory.record.chunks[i].segment].written for i in (0, last)]
    assert held[0] is not None
    assert held[1] is not None
    some, whole = held[0].chunks[0], held[1].chunks[last]
    both = {name: Statistics(0.25 * some[name].C + whole[name].C, 0.25 * some[name].M + whole[name].M) for name in whole}
    home = memory.segments[route.segment]
    expected = replace(held[1], chunks={0: both}).solved(home.weights, {0: 1.0})
    with memory.attached(llama.model, route):
        theirs = tiny.logits_of(llama)
    with home.weights.copy().attached(llama.model):
        alone = tiny.logits_of(llama)
    with home.weights.lending(expected), home.weights.attached(llama.model):
        assert torch.allclose(tiny.logits_of(llama), theirs, atol=1e-4)
    assert not torch.allclose(alone, theirs, atol=1e-3)


def test_a_question_takes_what_matches_from_all_segments(llama: Base, protocol: Path) -> None:
    settings = ("fast_weights.segment_chunks=1", "fast_weights.question_chunks=8")
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=settings)
    assert memory.text is not None
    question = "Who built the mill of Sarn, and who kept the Orrin lighthouse?"
    shares = memory.text.shares(question, 8)
    assert len(shares) > 1
    assert memory.route(question) == Route(memory.record.chunks[next(iter(shares))].segment, tuple(sorted(shares.items())))


def test_what_the_guard_rolled_back_is_not_written_anew(llama: Base, protocol: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=("stream.buffer_tokens=64", "fast_weights.segment_chunks=0"))
    first, second, *_ = memory.record.sleeps
    second.kept = False
    assert memory.record.passes_kept(memory.record.chunks[first.chunks[0]]) == 3
    assert memory.record.passes_kept(memory.record.chunks[second.chunks[0]]) == 0
    written: list[dict[str, int]] = []

    def rewrite(chunks: Sequence[Chunk], passes: Mapping[int, int]) -> FastWeights:
        written.append({chunk.text: passes[chunk.index] for chunk in chunks})
        return memory.segments[0].weights.copy()

    kept = {memory.record.chunks[i].index for sleep in memory.record.sleeps if sleep.kept for i in sleep.chunks}
    assert memory.text is not None
    texts = {chunk.index: chunk.text for chunk in memory.text}
    forget(memory, [first.chunks[0]], rewrite)
    assert written.pop() == {texts[i]: 3 for i in kept - {first.chunks[0]}}
    merge(memory, memory, rewrite)
    assert written.pop() == {texts[i]: 3 for i in kept}
