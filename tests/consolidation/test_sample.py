"""Where no decision hangs on looks a sample of the chunks is asked about: bounded, the same after a kill, without effect on the weights."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.guard import LEAST_TOKENS
from nrem.consolidation.probe.sample import QUESTIONS, sample
from nrem.consolidation.sleep import Sleeper
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny

TEXT = "".join(f"The ferry Tern{i}ora reached Port{i}wick with {i * 7 + 3} barrels of salted Fish{i}el in 18{i + 10}. " for i in range(24))
UNIFORM = ("sleep.allocator=uniform", "sleep.look_every=2", "guard.enabled=false")


def make(base: Base, *options: str, ledger: Ledger | None = None) -> Sleeper:
    protocol, config = tiny.make_keyed_protocol(base), tiny.make_config(*options)
    return make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), ledger or Ledger(), ignore)


def chunks_of(base: Base) -> list[Chunk]:
    return tiny.make_chunks(base, TEXT)


def same(a: Sleeper, b: Sleeper) -> bool:
    return all(torch.equal(t, b.fast.tensors()[key]) for key, t in a.fast.tensors().items())


def test_some_are_asked_and_looks_stay_a_small_part(llama: Base) -> None:
    ledger, chunks = Ledger(), chunks_of(llama)
    result = make(llama, *UNIFORM, "probes.share=0.2", ledger=ledger).sleep(0, chunks, [])
    asked = [p for p in result.progress if p.num_probes]
    assert 1 < len(asked) < len(chunks)
    assert {p.num_probes for p in asked} <= set(range(1, QUESTIONS + 1))
    assert result.record.sample
    assert {tuple(p.looked_at) for p in result.progress} == {(0, 2)}, "also those that are not asked about"
    assert result.record.recall_after == pytest.approx(sum(p.recall[-1] for p in asked) / len(asked))
    one_pass = (ledger.fet["passes"] + ledger.fet["preparation"]) / 2
    assert ledger.fet["probes"] <= 0.2 * (sum(c.num_tokens for c in chunks) + 1.1 * 2 * one_pass)
    gaps = [b.chunk - a.chunk for a, b in itertools.pairwise(asked)]
    assert max(gaps) - min(gaps) <= 2, "spread over the document"


def test_all_are_asked_on_request_and_where_looks_decide(llama: Base) -> None:
    chunks = chunks_of(llama)
    for options in ((*UNIFORM, "probes.share=1"), ("probes.share=0.01",)):  # elimination without curves looks after every pass
        result = make(llama, *options).sleep(0, chunks, [])
        assert all(p.num_probes for p in result.progress)
        assert not result.record.sample


def test_one_is_asked_where_little_can_be_spent_and_none_where_nothing_can_be_asked(llama: Base) -> None:
    meter, chunks = make(llama, *UNIFORM, "probes.share=0.01").meter, chunks_of(llama)
    assert len(sample(chunks, meter, 0.0)) == 1
    assert sample(chunks, meter, 1e9) == chunks
    dull = replace(chunks[0], text="and so on, and on. ")
    assert sample([dull], meter, 1e9) == []


@pytest.mark.parametrize("allocator", ["uniform", "elimination"])
def test_what_is_written_does_not_depend_on_who_is_asked(llama: Base, allocator: str) -> None:
    """Nor on what the first look saw: a chunk that seems known gets its passes all the same where the allocator decides by predictions."""
    signals = [{"surprisal": s, "surprisal_median": s} for s in (1.0, 9.0)]
    curves = [Curve(document=f"d{i}", chunk=i, nll=(4.0, 2.0, 1.0), recall=(0.0, 0.5, 1.0), pass_fet=9.0, num_probes=2, signals=s)
              for i, s in enumerate(signals)]  # fmt: skip
    made = []
    for share in ("0.05", "1"):
        sleeper = make(llama, f"sleep.allocator={allocator}", "sleep.look_every=2", "sleep.solved_recall=0.0", f"probes.share={share}")
        config = sleeper.config
        decided = config.make_allocator(CurveTable(levels=(0, 1, 2), curves=tuple(curves)))
        assert decided.looks == "none"
        sleeper = replace(sleeper, allocator=decided, share=float(share))
        result = sleeper.sleep(0, chunks_of(llama), [])
        made.append((sleeper, [p.passes for p in result.progress]))
    assert made[0][1] == made[1][1]
    assert set(made[0][1]) == {2}
    assert same(made[0][0], made[1][0])


@pytest.mark.parametrize("cut", [1, 2])
def test_a_sleep_that_was_cut_off_asks_the_same(llama: Base, cut: int) -> None:
    options, chunks = ("sleep.allocator=uniform", "sleep.look_every=1", "sleep.passes=3", "probes.share=0.2"), chunks_of(llama)
    whole = make(llama, *options)
    expected = whole.sleep(0, chunks, [])
    kept: list[tuple[dict[str, Any], dict[str, Tensor]]] = []

    def checkpoint(state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        kept.append((state, {key: tensor.clone() for key, tensor in tensors.items()}))
        if len(kept) == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(llama, *options).sleep(0, chunks, [], checkpoint=checkpoint)
    revived = make(llama, *options)
    result = revived.sleep(0, chunks, [], resume=kept[-1])
    assert same(revived, whole)
    assert [(p.num_probes, p.looked_at) for p in result.progress] == [(p.num_probes, p.looked_at) for p in expected.progress]
    assert [p.nll[-1] for p in result.progress] == pytest.approx([p.nll[-1] for p in expected.progress])


@settings(max_examples=8, deadline=None)
@given(share=st.floats(0.01, 1.2))
def test_a_budget_is_never_exceeded(llama: Base, share: float) -> None:
    options, free = ("sleep.allocator=uniform", "probes.share=0.1", "guard.unrelated_tokens=128"), Ledger()
    make(llama, *options, ledger=free).sleep(0, chunks_of(llama), [])
    ledger = Ledger(limit_fet=share * free.total_fet)
    result = make(llama, *options, ledger=ledger).sleep(0, chunks_of(llama), [])
    assert ledger.total_fet <= share * free.total_fet
    assert {p.exit for p in result.progress} <= {"budget", "cap"}


def test_the_guard_of_a_short_text_reads_less(llama: Base) -> None:
    spent: Sequence[float] = []
    for count in (1, 4):
        sleeper = make(llama, *UNIFORM, "guard.unrelated_tokens=256")
        slept = sum(c.num_tokens for c in chunks_of(llama)[:count])
        spent = [*spent, sleeper.guard.length(slept)]
        assert sleeper.guard.fet(slept) < sleeper.guard.fet(100_000)
    assert spent == [LEAST_TOKENS] * 2
    guard = make(llama, "guard.unrelated_tokens=256").guard
    assert [guard.length(slept) for slept in (0, 1600, 100_000)] == [32, 100, 256]
