"""A sleep: how chunks leave it, what the guard does, that a budget is kept and a cut-off sleep goes on."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nrem.consolidation.allocate.allocator import Exit, Limits, Progress
from nrem.consolidation.allocate.allocators import ALLOCATORS
from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.allocate.elimination import Elimination
from nrem.consolidation.allocate.greedy import Greedy
from nrem.consolidation.allocate.priced import Priced
from nrem.consolidation.allocate.uniform import Uniform
from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import Event, PassDone, SleepStarted, ignore
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.sleep import Sleeper, SleepResult
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.config import resolve
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny

RULES = pytest.mark.parametrize("rule", ["gradient", "keyed"])
LEARN = (
    "study.step_size=3e-2",
    "fast_weights.rank=16",
    "guard.enabled=false",
    "sleep.passes=80",
    "sleep.patience=80",
    "sleep.look_every=4",
)


def make(base: Base, rule: str, *options: str, ledger: Ledger | None = None, events: list[Event] | None = None) -> Sleeper:
    """Everything that a sleep needs, around new fast weights."""
    protocol = tiny.make_keyed_protocol(base) if rule == "keyed" else Protocol(base.tokenizer)
    config = tiny.make_config(*options)
    fast = make_fast_weights(base, config, protocol)
    return make_sleeper(base, config, protocol, fast, ledger or Ledger(), ignore if events is None else events.append)


def copy_of(sleeper: Sleeper) -> dict[str, Tensor]:
    return sleeper.fast.clone() | {f"rule/{key}": tensor.clone() for key, tensor in sleeper.rule.state().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def exits(result: SleepResult) -> set[str | None]:
    return {p.exit for p in result.progress}


# The allocator alone.


def progress(passes: int, recall: Sequence[float], nll: Sequence[float] = (), probes: int = 3) -> Progress:
    """A chunk that was looked at before the first pass and after every one; the NLL of its probes' answers stays where it is not given."""
    looks = list(range(len(recall)))
    return Progress(chunk=7, num_probes=probes, passes=passes, recall=list(recall), nll=list(nll) or [3.0 for _ in looks], looked_at=looks)


ELIMINATION = Elimination(limits=Limits(passes=10), min_progress=0.02, patience=2)


@pytest.mark.parametrize(
    ("state", "exit"),
    [
        (progress(0, [0.0]), None),
        (progress(0, [1.0]), "solved"),
        (progress(1, [0.0, 1.0]), "solved"),
        (progress(10, [0.0, 1.0]), "solved"),
        (progress(10, [0.0, 0.5]), "cap"),
        (progress(3, [0.0, 0.0, 0.0, 0.0]), "hopeless"),
        (progress(3, [0.0, 0.5, 0.5, 0.5]), "hopeless"),
        (progress(3, [0.0, 0.0, 0.0, 0.5]), None),
        (progress(3, [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, 2.5, 2.0]), None),
        (progress(3, [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.5, 4.0]), "hopeless"),
        (progress(1, [0.0, 0.0]), None),
        (progress(0, [0.0], probes=0), None),
        (progress(1, [0.0], probes=0), "hopeless"),
    ],
)
def test_elimination_has_two_exits_and_a_cap(state: Progress, exit: str | None) -> None:
    assert ELIMINATION.exits([state]) == ({7: exit} if exit else {})


def test_uniform_gives_all_the_same() -> None:
    assert Uniform(passes=2).exits([progress(1, [1.0]), progress(2, [0.0])]) == {7: "cap"}


def test_auto_is_what_the_protocol_was_trained_for() -> None:
    assert [SleepConfig().resolved(trained).passes for trained in (0, 4)] == [32, 4]
    assert [SleepConfig().resolved(trained).look_every for trained in (0, 4)] == [8, 4]
    assert SleepConfig(passes=3).resolved(4).passes == 3
    with pytest.raises(UsageError, match=r"sleep\.patience: got 0, expected 1 or more"):
        SleepConfig(patience=0)


def test_the_configuration_makes_every_allocator() -> None:
    curve = Curve(document="d", chunk=0, nll=(4.0, 2.0, 1.5), recall=(0.0, 0.5, 0.5), pass_fet=10.0, num_probes=2)
    table, trained = CurveTable(levels=(0, 1, 2), curves=(curve, curve)), SleepConfig(passes=4, look_every=1).resolved(4)
    made = [resolve(SleepConfig, [("", asdict(trained) | {"allocator": name})]).resolved(4).make_allocator(table) for name in ALLOCATORS]
    assert [type(allocator) for allocator in made] == [Uniform, Elimination, Greedy, Priced]
    with pytest.raises(UsageError, match=r"sleep\.allocator: greedy needs measured curves, got none: measure them with nrem ceiling"):
        replace(trained, allocator="greedy").make_allocator()
    with pytest.raises(UsageError, match=r"sleep\.risk: got 1\.5, expected a share between 0 and 1"):
        SleepConfig(risk=1.5)


# Whole sleeps.


@RULES
def test_every_chunk_gets_the_cap_when_nothing_lets_it_go(base: Base, rule: str) -> None:
    events: list[Event] = []
    sleeper, chunks = make(base, rule, "sleep.allocator=uniform", "guard.enabled=false", events=events), tiny.make_chunks(base)
    before = copy_of(sleeper)
    result = sleeper.sleep(0, chunks, [])
    assert exits(result) == {"cap"}
    assert [p.passes for p in result.progress] == [2] * len(chunks)
    assert result.record.kept
    assert not same(copy_of(sleeper), before)
    assert [type(event) for event in events] == [SleepStarted, PassDone, PassDone]
    assert result.record.fet == pytest.approx(sleeper.ledger.total_fet)
    assert set(result.record.guard) == {"kl", "perplexity_ratio", "recall_gain", "nll_gain"}


def test_what_was_learned_is_solved() -> None:
    base = tiny.make_base("llama", scale=24)  # with smaller embeddings no token can have p > 0.5
    one_fact = ("probes.facts_per_chunk=1", "probes.held_out_per_chunk=1")
    chunks = tiny.make_chunks(base, "The old lamp burned 7 litres of rapeseed oil every single night.")
    result = make(base, "gradient", *LEARN, *one_fact).sleep(0, chunks, [])
    assert exits(result) == {"solved"}
    (p,) = result.progress
    assert (p.recall[0], p.recall[-1]) == (0.0, 1.0)
    assert 0 < p.passes < 80
    assert result.record.recall_after == 1.0


def test_what_does_not_progress_is_hopeless(llama: Base) -> None:
    slow = ("study.step_size=1e-9", "sleep.passes=20", "sleep.patience=2", "study.label_smoothing=0", "study.objective=next-token")
    result = make(llama, "gradient", *slow).sleep(0, tiny.make_chunks(llama), [])
    assert exits(result) == {"hopeless"}
    assert {p.passes for p in result.progress} == {2}


def test_no_pass_is_a_sleep_that_writes_nothing(base: Base) -> None:
    sleeper = make(base, "gradient", "sleep.passes=0")
    before = copy_of(sleeper)
    result = sleeper.sleep(0, tiny.make_chunks(base), [])
    assert (exits(result), result.record.passes) == ({"cap"}, 0)
    assert same(copy_of(sleeper), before)


@RULES
def test_the_guard_rolls_back_nonsense(base: Base, rule: str) -> None:
    sleeper, chunks = make(base, rule, "study.step_size=10", "guard.max_kl=1e-9"), tiny.make_chunks(base)
    before = copy_of(sleeper)
    result = sleeper.sleep(0, chunks, [])
    assert not result.record.kept
    assert result.record.reason.startswith("KL to the base on unrelated text is ")
    assert result.record.passes > 0
    assert same(copy_of(sleeper), before)
    assert result.record.recall_after == result.record.recall_before
    for p in result.progress:
        assert p.recall[-1] == p.recall[0]


@RULES
@settings(max_examples=6, deadline=None)
@given(share=st.floats(0.01, 1.2))
def test_a_budget_is_never_exceeded(llama: Base, rule: str, share: float) -> None:
    free = Ledger()
    options = ("sleep.passes=3", "sleep.allocator=uniform", "guard.enabled=false")
    make(llama, rule, *options, ledger=free).sleep(0, tiny.make_chunks(llama), [])
    ledger = Ledger(limit_fet=share * free.total_fet)
    sleeper = make(llama, rule, *options, ledger=ledger)
    before = copy_of(sleeper)
    result = sleeper.sleep(0, tiny.make_chunks(llama), [])
    assert ledger.total_fet <= share * free.total_fet
    assert exits(result) <= {"budget", "cap"}
    if share < 0.05:
        assert exits(result) == {"budget"}
        assert same(copy_of(sleeper), before)


def test_more_budget_buys_more_passes(llama: Base) -> None:
    free = Ledger()
    options = ("sleep.passes=8", "sleep.allocator=uniform", "guard.enabled=false")
    make(llama, "gradient", *options, ledger=free).sleep(0, tiny.make_chunks(llama), [])
    passes = []
    for share in (0.3, 0.6, 0.9, 1.5):
        sleeper = make(llama, "gradient", *options, ledger=Ledger(limit_fet=share * free.total_fet))
        passes.append(sleeper.sleep(0, tiny.make_chunks(llama), []).record.passes)
    assert passes == sorted(passes)
    assert 0 < passes[0] < passes[-1] == 8


@RULES
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_sleep_that_was_cut_off_goes_on_to_the_same_end(base: Base, rule: str, cut: int) -> None:
    options = ("sleep.passes=4", "sleep.allocator=uniform")
    chunks = tiny.make_chunks(base)
    whole = make(base, rule, *options)
    expected = whole.sleep(0, chunks[1:], chunks[:1])
    kept: list[tuple[dict[str, Any], dict[str, Tensor]]] = []

    def checkpoint(state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        kept.append((state, {key: tensor.clone() for key, tensor in tensors.items()}))
        if len(kept) == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(base, rule, *options).sleep(0, chunks[1:], chunks[:1], checkpoint=checkpoint)
    revived = make(base, rule, *options)
    result = revived.sleep(0, chunks[1:], chunks[:1], resume=kept[-1])
    assert same(copy_of(revived), copy_of(whole))
    for mine, theirs in zip(result.progress, expected.progress, strict=True):
        assert replace(mine, loss=[], recall=[], nll=[]) == replace(theirs, loss=[], recall=[], nll=[])
        assert mine.loss == pytest.approx(theirs.loss)
        assert mine.recall == pytest.approx(theirs.recall)
        assert mine.nll == pytest.approx(theirs.nll)
    assert (result.record.kept, result.record.passes) == (expected.record.kept, expected.record.passes)


def test_a_resumed_sleep_still_rolls_back_to_its_own_start(llama: Base) -> None:
    options = ("sleep.passes=4", "sleep.allocator=uniform", "guard.max_kl=1e-12")
    sleeper, chunks = make(llama, "gradient", *options), tiny.make_chunks(llama)
    start, kept = copy_of(sleeper), []

    def checkpoint(state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        kept.append((state, {key: tensor.clone() for key, tensor in tensors.items()}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sleeper.sleep(0, chunks, [], checkpoint=checkpoint)
    revived = make(llama, "gradient", *options)
    assert not revived.sleep(0, chunks, [], resume=kept[-1]).record.kept
    assert same(copy_of(revived), start)


@RULES
def test_a_chunk_without_facts_gets_one_pass(llama: Base, rule: str) -> None:
    text = "and so on, and on. "
    chunk = Chunk(document="d", title="", index=0, start=0, end=len(text), text=text, num_tokens=len(text))
    result = make(llama, rule, "sleep.passes=2").sleep(0, [chunk], [])
    assert (result.progress[0].num_probes, result.progress[0].passes) == (0, 1)
    assert exits(result) == {"hopeless"}


class OnlySome(Uniform):
    """Lets some chunks leave before the first pass."""

    wanted = (0, 2)

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        return super().exits(active) | {p.chunk: "solved" for p in active if p.chunk not in self.wanted}


@RULES
def test_a_chunk_that_gets_no_pass_is_not_prepared_for_one(llama: Base, rule: str) -> None:
    chunks, spent = tiny.make_chunks(llama), list[dict[str, float]]()
    for asleep in (chunks, [c for c in chunks if c.index in OnlySome.wanted]):
        sleeper = replace(make(llama, rule, "sleep.passes=2", ledger=(ledger := Ledger())), allocator=OnlySome(passes=2))
        result = sleeper.sleep(0, asleep, [])
        assert [p.passes for p in result.progress] == [2 if p.chunk in OnlySome.wanted else 0 for p in result.progress]
        spent.append({kind: ledger.fet[kind] for kind in ("preparation", "passes")})
    assert spent[0] == pytest.approx(spent[1])
