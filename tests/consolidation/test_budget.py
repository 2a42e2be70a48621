"""The currency: what is charged is what torch counts, a cap is never exceeded, and a budget can be written in many ways."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.budget import Budget, CostModel, Ledger, parse_budget
from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.rules import trainable
from nrem.memory.errors import BudgetError, UsageError
from nrem.runtime.models.load import Base, wrap
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("400k", Budget(fet=400e3)),
        ("400kFET", Budget(fet=400e3)),
        ("1.5M", Budget(fet=1.5e6)),
        ("2 g", Budget(fet=2e9)),
        ("250_000", Budget(fet=250e3)),
        ("250,000 fet", Budget(fet=250e3)),
        ("90s", Budget(seconds=90)),
        (" 0.5 S ", Budget(seconds=0.5)),
    ],
)
def test_a_budget_is_read(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "k", "s", "ten", "-5", "0", "0s", "nan", "inf", "1e999", "5 km", "10sk"])
def test_what_is_no_budget_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(
        BudgetError, match=re.escape(f"--budget: got {text!r}, expected a number above 0 of FET or seconds, such as 400kFET")
    ):
        parse_budget(text)


@pytest.mark.parametrize("text", ["1,5k", "1,5", "0,5s", "1,50,000", "1,5000", ",5k", "1.500,0", "1,500,k"])
def test_a_comma_that_may_be_a_decimal_mark_is_asked_about(text: str) -> None:
    with pytest.raises(BudgetError, match=re.escape(f"--budget: got {text!r}, whose comma may be a decimal mark; write 1.5k, or 1,500")):
        parse_budget(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_cap_that_is_no_number_is_never_no_cap(value: float) -> None:
    with pytest.raises(BudgetError, match=f"budget: limit_fet is {value}, expected a finite number from 0"):
        Ledger(limit_fet=value)
    with pytest.raises(BudgetError, match=f"budget: limit_seconds is {value}, expected a finite number from 0"):
        Ledger(limit_seconds=value)
    with pytest.raises(UsageError, match=rf"sleep.budget_fet: got {value}, expected"):
        SleepConfig(budget_fet=value)
    with pytest.raises(UsageError, match=rf"sleep.budget_seconds: got {value}, expected"):
        SleepConfig(budget_seconds=value)


@given(st.floats(1e-3, 1e12))
def test_any_number_is_read_back(value: float) -> None:
    assert parse_budget(repr(value)) == Budget(fet=value)
    assert parse_budget(f"{value!r}s") == Budget(seconds=value)


@given(st.lists(st.floats(0, 100)), st.floats(1, 500))
def test_a_ledger_never_exceeds_its_cap(works: list[float], limit: float) -> None:
    ledger, done = Ledger(limit_fet=limit), 0.0
    for fet in works:
        if ledger.affords(fet):
            with ledger.debit("work", fet):
                done += fet
        else:
            with pytest.raises(BudgetError, match=r"work needs .* are left: raise the budget"), ledger.debit("work", fet):
                raise AssertionError("the work must not begin")
        assert ledger.total_fet == pytest.approx(done)
        assert ledger.total_fet <= limit


def test_work_that_fails_is_charged_all_the_same() -> None:
    ledger = Ledger()

    def fail() -> None:
        with ledger.debit("passes", 3.0):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert ledger.fet == {"passes": 3.0}
    assert ledger.seconds["passes"] >= 0


def test_seconds_are_a_cap_at_the_speed_seen_so_far() -> None:
    ledger = Ledger(limit_seconds=10.0)
    assert ledger.affords(1e9), "nothing is known yet"
    ledger.restore({"fet": {"reading": 100.0}, "seconds": {"reading": 5.0}})
    assert ledger.affords(100.0)
    assert not ledger.affords(101.0)


def test_a_ledger_comes_back_from_its_state() -> None:
    ledger, other = Ledger(limit_fet=10), Ledger(limit_fet=10)
    with ledger.debit("reading", 4):
        pass
    other.restore(ledger.state())
    assert other == ledger
    assert other.remaining_fet == 6


# What torch counts. It charges all pairs of tokens, also those that the causal mask hides; FET charge what is attended to.


def triangular_flops(matrix: Sequence[int], right: Sequence[int], *args: object, **kwargs: object) -> int:
    """A multiplication and an addition for half of the matrix's entries, at every right-hand side."""
    return math.prod(matrix) * right[-1]


def counted(work: Callable[[], object]) -> int:
    """FLOPs of matrix products and convolutions, as torch counts them, and of factorisations and their solves, which it leaves out."""
    aten = torch.ops.aten
    left_out: dict[Any, Callable[..., int]] = {
        aten.linalg_solve_triangular: triangular_flops,
        aten.linalg_cholesky_ex: lambda matrix, *_, **__: math.prod(matrix) * matrix[-1] // 3,
        aten.cholesky_solve: lambda right, matrix, *_, **__: 2 * math.prod(matrix) * right[-1],
    }
    with FlopCounterMode(display=False, custom_mapping=left_out) as counter:
        work()
    return int(counter.get_total_flops())


@pytest.fixture(scope="module")
def thin_attention() -> Base:
    """A Llama whose attention is so narrow that masked pairs do not weigh; what is left are the parts that are linear in tokens."""
    narrow = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**narrow, **tiny.ENDS, num_hidden_layers=4, vocab_size=tiny.VOCABULARY))
    model.set_attn_implementation("eager")  # torch does not count its own fused attention on a CPU
    return wrap(model, tiny.make_tokenizer(), "tiny/thin")


@pytest.mark.parametrize("tokens", [1, 16, 128])
@torch.no_grad()
def test_a_forward_pass_costs_what_torch_counts(base: Base, tokens: int) -> None:
    used = base.model.config._attn_implementation
    base.model.set_attn_implementation("eager")
    try:
        cost, ids = CostModel.of(base.model), torch.zeros(2, tokens, dtype=torch.long)
        flops = counted(lambda: base.model(input_ids=ids, use_cache=False))
    finally:
        base.model.set_attn_implementation(used)
    mine, config = cost.forward(2 * tokens, tokens) * cost.flops_per_fet, base.model.config.get_text_config()
    rotary = tokens * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    assert any(flops == pytest.approx(mine + more, rel=1e-6) for more in (0, rotary, 2 * rotary))  # some releases count angles as a product


@pytest.mark.parametrize("rule", ["untrained", *trainable()])
def test_a_pass_costs_what_torch_counts(thin_attention: Base, rule: str) -> None:
    base = thin_attention
    protocol = Protocol(base.tokenizer) if rule == "untrained" else tiny.make_protocol(base, rule, rank=16, reader_rank=4)
    config, ledger, cost = tiny.make_config(), Ledger(), CostModel.of(base.model)
    sleeper = make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), ledger, ignore)
    chunks = tiny.make_chunks(base)
    everything = [chunk.index for chunk in chunks]
    with sleeper.fast.attached(base.model):
        sleeper.rule.begin(chunks, [])
        for _ in range(2):  # the first one prepares, the second one does not
            spent = ledger.total_fet
            flops = counted(lambda: sleeper.rule.write(everything))
            assert (ledger.total_fet - spent) * cost.flops_per_fet == pytest.approx(flops, rel=0.03)


@torch.no_grad()
def test_a_look_at_the_probes_costs_what_torch_counts(thin_attention: Base) -> None:
    base, config, ledger = thin_attention, tiny.make_config(), Ledger()
    protocol, cost = Protocol(base.tokenizer), CostModel.of(base.model)
    sleeper = make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), ledger, ignore)
    with sleeper.fast.attached(base.model):
        flops = counted(lambda: sleeper.meter.measure(tiny.make_chunks(base)))
    assert ledger.total_fet * cost.flops_per_fet == pytest.approx(flops, rel=0.03)
