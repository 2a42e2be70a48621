"""Every write rule on every family: one list of behaviours. A new rule costs one row of RULES."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.consolidation.write.descent import DescentRule
from nrem.memory.saved.fingerprint import weights_sha256
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.statistics import Statistics
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny


def untrained(base: Base) -> Protocol:
    return Protocol(base.tokenizer)


RULES: dict[str, tuple[Callable[[Base], Protocol], tuple[str, ...]]] = {
    "gradient": (untrained, ()),
    "gradient, many writes": (untrained, ("study.items_per_write=3", "study.batch_tokens=200")),
    "gradient, one norm": (untrained, ("study.normalise=global",)),
    "gradient, taught": (untrained, ("study.distill_weight=0.5", "study.distill_top=5")),
    "gradient, next token": (untrained, ("study.objective=next-token",)),
    "ridge": (tiny.make_ridge_protocol, ()),
    "keyed": (tiny.make_keyed_protocol, ()),
    "delta": (tiny.make_delta_protocol, ()),
    "trained gradient": (tiny.make_descent_protocol, ()),
}
"""Protocol and settings under which each rule runs."""


@pytest.fixture(params=list(RULES))
def rule_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_sleeper_for(base: Base, rule: str, *settings: str, ledger: Ledger | None = None) -> Sleeper:
    """Everything that a sleep with this rule needs, around new fast weights."""
    make_protocol, more = RULES[rule]
    protocol, config = make_protocol(base), tiny.make_config(*more, *settings)
    return make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), ledger or Ledger(), ignore)


def run_passes(base: Base, sleeper: Sleeper, passes: int, *, begin: bool = True, replay: int = 0) -> list[dict[int, float]]:
    """So many passes over the story; its first `replay` chunks are only read along. Returns the loss before each."""
    chunks = tiny.make_chunks(base)
    with sleeper.fast.attached(base.model):
        if begin:
            sleeper.rule.begin(chunks[replay:], chunks[:replay])
        losses = [sleeper.rule.write([chunk.index for chunk in chunks[replay:]]).loss for _ in range(passes)]
        sleeper.rule.publish()
    return losses


def equal(a: FastWeights, b: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, b[key]) for key, tensor in a.tensors().items())


def logits_with(base: Base, fast: FastWeights) -> Tensor:
    with fast.attached(base.model):
        return tiny.logits_of(base)


def test_no_pass_writes_nothing(base: Base, rule_name: str) -> None:
    sleeper = make_sleeper_for(base, rule_name)
    start = sleeper.fast.clone()
    run_passes(base, sleeper, 0)
    sleeper.rule.end()
    assert equal(sleeper.fast, start)


def test_a_pass_writes_and_leaves_the_base_alone(base: Base, rule_name: str) -> None:
    digest, before = weights_sha256(base.model, fresh=True), tiny.logits_of(base)
    sleeper = make_sleeper_for(base, rule_name)
    start = sleeper.fast.clone()
    losses = run_passes(base, sleeper, 2)
    assert not equal(sleeper.fast, start)
    assert all(loss > 0 for by_chunk in losses for loss in by_chunk.values())
    assert not torch.equal(logits_with(base, sleeper.fast), before)
    assert weights_sha256(base.model, fresh=True) == digest
    assert torch.equal(tiny.logits_of(base), before)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in base.model.parameters())


@pytest.mark.parametrize("rule", [name for name in RULES if name.startswith("gradient")])
def test_passes_lower_the_write_loss(base: Base, rule: str) -> None:
    sleeper = make_sleeper_for(base, rule, "study.step_size=1e-2" if rule != "gradient, one norm" else "study.step_size=0.5")
    rounds = sleeper.rule.material.num_phrasings(sleeper.rule.config.objective)  # type: ignore[attr-defined]
    losses = [sum(loss.values()) / len(loss) for loss in run_passes(base, sleeper, max(20, 4 * rounds))]
    first, last = sum(losses[:rounds]) / rounds, sum(losses[-rounds:]) / rounds
    assert last < 0.97 * first


def test_a_killed_sleep_goes_on_to_the_same_weights(base: Base, rule_name: str) -> None:
    straight = make_sleeper_for(base, rule_name)
    run_passes(base, straight, 4, replay=1)

    killed = make_sleeper_for(base, rule_name)
    run_passes(base, killed, 2, replay=1)
    fast = killed.fast.clone()
    state = {key: tensor.clone() for key, tensor in killed.rule.state().items()}

    revived, chunks = make_sleeper_for(base, rule_name), tiny.make_chunks(base)
    revived.rule.begin(chunks[1:], chunks[:1])
    revived.fast.restore(fast)
    revived.rule.restore(state)
    run_passes(base, revived, 2, begin=False, replay=1)
    assert equal(revived.fast, straight.fast.tensors())
    assert not equal(revived.fast, fast)


def test_equal_sleeps_give_equal_weights(llama: Base, rule_name: str) -> None:
    first, second = make_sleeper_for(llama, rule_name), make_sleeper_for(llama, rule_name)
    run_passes(llama, first, 2)
    run_passes(llama, second, 2)
    assert equal(first.fast, second.fast.tensors())


def test_the_price_is_known_before_the_pass(base: Base, rule_name: str) -> None:
    ledger = Ledger()
    sleeper, chunks = make_sleeper_for(base, rule_name, ledger=ledger), tiny.make_chunks(base)
    with sleeper.fast.attached(base.model):
        sleeper.rule.begin(chunks, [])
        for active in ([0, 1, 2, 3, 4], [0, 2, 4], [1]):
            spent, bound = ledger.total_fet, sleeper.rule.next_pass_fet(active)
            sleeper.rule.write(active)
            paid = ledger.total_fet - spent
            assert 0 < paid <= bound * (1 + 1e-9)


def test_what_was_written_opens_in_plain_peft(base: Base, rule_name: str, tmp_path: Path) -> None:
    sleeper = make_sleeper_for(base, rule_name)
    run_passes(base, sleeper, 1)
    sleeper.fast.save(tmp_path, "tiny")
    model = peft.PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path))
    assert torch.equal(tiny.logits_of(Base(model, base.tokenizer, base.identity)), logits_with(base, sleeper.fast))


@pytest.mark.parametrize("rule", ["keyed", "delta", "trained gradient"])
def test_a_sleep_writes_what_training_writes(base: Base, rule: str) -> None:
    """A pass of a sleep and one of protocol training are two programs for one formula."""
    sleeper, chunks = make_sleeper_for(base, rule), tiny.make_chunks(base)
    protocol = RULES[rule][0](base)
    assert protocol.learned is not None
    bench = Bench(sleeper.split, protocol, protocol.learned)
    sleeper.rule.begin(chunks, [])
    for passes in (1, 2, 3):
        with sleeper.fast.attached(base.model):
            sleeper.rule.write([chunk.index for chunk in chunks])
        with torch.no_grad():
            trained = bench.write([[Passage(chunk.title, chunk.text, ()) for chunk in chunks]], passes)
        assert trained is not None
        for name, factors in sleeper.fast.factors.items():
            written = factors.B[:, protocol.learned.reader_rank :]
            difference = (written - trained[name][0]).norm() / trained[name][0].norm()
            assert difference < (0.02 if rule == "keyed" else 1e-3)  # M is kept in bfloat16, and the next pass reads with that


def test_only_keyed_can_take_chunks_out_again(llama: Base, rule_name: str) -> None:
    sleeper = make_sleeper_for(llama, rule_name)
    run_passes(llama, sleeper, 1)
    assert (sleeper.rule.written is not None) == (rule_name == "keyed")


# What holds for one rule only.


def test_the_order_of_chunks_is_what_the_delta_rule_was_given(llama: Base) -> None:
    """Later chunks overwrite earlier ones; how the allocator lists the active ones is nothing to it."""
    sleepers, chunks = [make_sleeper_for(llama, "delta") for _ in range(3)], tiny.make_chunks(llama)
    given = ((0, 1, 2), (0, 1, 2), (2, 1, 0))
    for sleeper, order, active in zip(sleepers, given, ([0, 1, 2], [2, 0, 1], [0, 1, 2]), strict=True):
        with sleeper.fast.attached(llama.model):
            sleeper.rule.begin([chunks[i] for i in order], [])
            sleeper.rule.write(active)
    assert equal(sleepers[0].fast, sleepers[1].fast.tensors())
    assert not equal(sleepers[0].fast, sleepers[2].fast.tensors())


def test_the_delta_rule_writes_replay_first_and_as_known(llama: Base) -> None:
    replaying, straight = make_sleeper_for(llama, "delta"), make_sleeper_for(llama, "delta")
    chunks = tiny.make_chunks(llama)
    for sleeper, replay in ((replaying, True), (straight, False)):
        with sleeper.fast.attached(llama.model):
            sleeper.rule.begin(chunks[:1], [])
            sleeper.rule.write([0])
            sleeper.rule.end()
            sleeper.rule.begin(chunks[1:2] if replay else chunks[:2], chunks[:1] if replay else [])
            sleeper.rule.write([1] if replay else [0, 1])
    assert equal(replaying.fast, straight.fast.tensors())


def test_trained_steps_lower_the_loss_and_are_counted_anew_in_every_sleep(llama: Base) -> None:
    sleeper, chunks = make_sleeper_for(llama, "trained gradient"), tiny.make_chunks(llama)
    assert isinstance(sleeper.rule, DescentRule)
    for site in dict(sleeper.rule.parameters.items()).values():
        site.log_steps.copy_(torch.tensor([-1.0, -2.0]))
    losses = [sum(loss.values()) for loss in run_passes(llama, sleeper, 16)]
    assert losses[-1] < 0.97 * losses[0]
    before = sleeper.fast.clone()
    sleeper.rule.begin(chunks, [])
    for size in (-1.0, -2.0, -2.0):
        with sleeper.fast.attached(llama.model):
            sleeper.rule.write([0])
        for name, tensor in sleeper.fast.tensors().items():
            if "lora_A" in name:
                assert torch.equal(tensor, before[name])
        change = sum(float((tensor - before[name]).pow(2).sum()) for name, tensor in sleeper.fast.tensors().items()) ** 0.5
        assert change == pytest.approx(math.exp(size), rel=1e-4)  # one norm over the whole adapter
        before = sleeper.fast.clone()


@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
def test_the_order_of_chunks_is_nothing_to_the_keyed_rule(base: Base, order: tuple[int, ...]) -> None:
    sleepers, chunks = [make_sleeper_for(base, "keyed") for _ in range(2)], tiny.make_chunks(base)
    for sleeper, indices in zip(sleepers, (range(5), order), strict=True):
        with sleeper.fast.attached(base.model):
            sleeper.rule.begin([chunks[i] for i in indices], [])
            for _ in range(2):
                sleeper.rule.write(list(indices))
    assert equal(sleepers[0].fast, sleepers[1].fast.tensors())


def test_a_later_keyed_pass_corrects_what_the_chunk_left_before(llama: Base) -> None:
    """M <- 0.3 M + B (C + Lambda) / gain, in place of the chunk's last M: its own B is kept, and a part of the remaining error is added."""
    once, twice = make_sleeper_for(llama, "keyed"), make_sleeper_for(llama, "keyed")
    chunks = tiny.make_chunks(llama)
    for sleeper, passes in ((once, 1), (twice, 2)):
        sleeper.rule.begin(chunks, [])
        for _ in range(passes):
            sleeper.rule.write([0, 1, 2, 3, 4])  # nothing is attached: every pass reads with the bare base
    first, second = once.rule.written, twice.rule.written
    assert first is not None
    assert second is not None
    for name, gain in first.gain.items():
        for index, sites in first.chunks.items():
            C, M = sites[name]
            B = first.solved(once.fast, {index: 1.0})[name][:, first.reader_rank :]
            corrected = Statistics(C, 0.3 * M + B @ (C + first.damping[name]) / max(float(gain), 0.05)).as_kept()
            torch.testing.assert_close(second.chunks[index][name].C, C)
            torch.testing.assert_close(second.chunks[index][name].M, corrected.M, rtol=2**-6, atol=2**-8 * float(M.abs().max()))


def test_keyed_sleeps_one_after_the_other_add_up(llama: Base) -> None:
    together, apart = make_sleeper_for(llama, "keyed"), make_sleeper_for(llama, "keyed")
    chunks = tiny.make_chunks(llama)
    together.rule.begin(chunks, [])
    together.rule.write([0, 1, 2, 3, 4])
    for part in ([0, 1], [2, 3, 4]):
        apart.rule.begin([chunks[i] for i in part], [])
        apart.rule.write(part)
        apart.rule.end()
    for key, tensor in together.fast.tensors().items():
        torch.testing.assert_close(apart.fast.tensors()[key], tensor, atol=1e-5, rtol=1e-3)


def test_every_row_runs_its_own_rule(base: Base) -> None:
    """Guards the table itself: each row really runs its own rule."""
    kinds = {name: type(make_sleeper_for(base, name).rule).__name__ for name in RULES}
    assert {kind for name, kind in kinds.items() if name.startswith("gradient")} == {"StudyRule"}
    assert (kinds["keyed"], kinds["delta"], kinds["trained gradient"]) == ("KeyedRule", "DeltaRule", "DescentRule")
    assert CostModel.of(base.model).num_layers == 4
