"""The scribe: on while texts are read to be written, and never when a question is asked; trained through the keys of a first pass."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.folder import adopt_parameters, load_protocol, save_protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.consolidation.train.trainer import TrainConfig
from nrem.consolidation.write.ridge import RidgeRule
from nrem.consolidation.write.ridge_site import Ridge, dense
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.runtime.measure.train_job import TrainFlags, training_config
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny
from tests.benches import PASSAGES
from tests.consolidation.train.test_going_on import CONFIG, make_trainer

DREAMT = replace(PASSAGES[0], dreamt=PASSAGES[1].given)
WITH_SCRIBE = replace(CONFIG, rank=34, scribe_rank=2, scribe_pace=5.0, reader_pace=0.0, max_passes=1)


def make_bench(base: Base, cut: int = 2) -> Bench:
    protocol = tiny.make_ridge_protocol(base)
    assert isinstance(protocol.learned, Ridge)
    return Bench(SplitModel(base.model, cut), protocol, protocol.learned)


@torch.no_grad()
def silenced(bench: Bench) -> None:
    for scribe in bench.parameters.scribe.values():
        scribe.reader_B.zero_()


def written(bench: Bench, passes: int = 2) -> dict[str, torch.Tensor]:
    changes = bench.write([[DREAMT]], passes)
    assert changes is not None
    return {name: dense(change).detach() for name, change in changes.items()}


@torch.no_grad()
def test_what_is_written_depends_on_it_and_what_is_asked_does_not(base: Base) -> None:
    bench = make_bench(base)
    assert list(bench.parameters.scribe) == [name for name, _ in bench.parameters.everywhere()]
    fast, nll = written(bench), bench.answer_nll(PASSAGES[0].given, None)
    asked, apart = bench.answer_nll(PASSAGES[0].given, fast), bench.divergence([list(range(60, 92))], fast)
    silenced(bench)
    torch.testing.assert_close(bench.answer_nll(PASSAGES[0].given, None), nll)
    torch.testing.assert_close(bench.answer_nll(PASSAGES[0].given, fast), asked)
    torch.testing.assert_close(bench.divergence([list(range(60, 92))], fast), apart)
    without = written(bench)
    assert all(float((without[name] - fast[name]).norm()) > 0.01 * float(fast[name].norm()) for name in fast)


@torch.no_grad()
def test_one_that_adds_nothing_is_none(llama: Base) -> None:
    bench, none = make_bench(llama), tiny.make_protocol(llama, "ridge", rank=34)
    silenced(bench)
    assert none.learned is not None
    assert none.learned.scribe == {}
    alone = Bench(bench.split, none, none.learned)
    for name, change in written(alone).items():
        torch.testing.assert_close(written(bench)[name], change)


def test_what_was_dreamt_is_read_as_it_will_be_asked(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the scribe: of two passages that differ in their dreams alone the dreams' rows are what the reader makes of them."""
    bench = make_bench(llama)
    texts, dreams = bench.reading([DREAMT], 1).observe_all(None)
    silenced(bench)
    again, dreams_again = bench.reading([DREAMT], 1).observe_all(None)
    assert dreams is not None
    assert dreams_again is not None
    for number, name in enumerate(bench.parameters.names):
        assert torch.equal(texts.inputs[name], again.inputs[name]) == (not number), "here it is in these modules only, behind their keys"
        torch.testing.assert_close(dreams.inputs[name], dreams_again.inputs[name])


def test_gradients_run_through_some_texts_of_each_memory(llama: Base) -> None:
    """At most so many, whatever the number of memories; what is written is the same, whichever they are."""
    bench = make_bench(llama)
    bench.parameters.requires_grad_(False)
    scribe = bench.parameters.scribe[bench.parameters.names[0]]
    scribe.reader_B.requires_grad_(True)
    groups = [PASSAGES[:3], PASSAGES[3:6]]

    def gradient(texts: int) -> tuple[float, torch.Tensor]:
        bench.scribe_texts = texts
        loss = bench.answer_nll([q for group in groups for q in group[2].given], bench.write(groups, 2)).mean()
        return float(loss.detach()), torch.autograd.grad(loss, [scribe.reader_B])[0]

    found = {texts: gradient(texts) for texts in (1, 2, 4, 6, 60)}
    assert len({round(loss, 4) for loss, _ in found.values()}) == 1
    torch.testing.assert_close(found[6][1], found[60][1])
    assert all(not torch.allclose(found[a][1], found[b][1], rtol=0.05, atol=0) for a, b in ((1, 2), (2, 4), (4, 6)))


def test_the_reader_learns_nothing_through_the_keys(llama: Base) -> None:
    """With the scribe in training as without: its closed-book gradient is that of the questions."""
    bench = make_bench(llama)
    bench.parameters.requires_grad_(True)

    def gradients() -> list[torch.Tensor]:
        readers = [p for _, site in bench.parameters.everywhere() for p in (site.reader_A, site.reader_B)]
        loss = bench.answer_nll(PASSAGES[0].given, bench.write([PASSAGES[:2]], 2)).mean()
        return list(torch.autograd.grad(loss, readers))

    with_scribe = gradients()
    assert all(p.requires_grad for p in bench.parameters.parameters())
    bench.parameters.hold_scribe()
    for mine, theirs in zip(gradients(), with_scribe, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("passes", [1, 2])
def test_its_gradient_is_that_of_the_keys(llama: Base, passes: int) -> None:
    """What reading leaves beside them counts as given, and what nothing is written behind has no gradient."""
    bench = make_bench(llama)
    bench.parameters.requires_grad_(False)
    scribe = bench.parameters.scribe[bench.parameters.names[0]]
    scribe.reader_B.requires_grad_(True)

    def loss() -> torch.Tensor:
        return bench.answer_nll(PASSAGES[0].given, bench.write([[DREAMT]], passes)).mean()

    with torch.no_grad():
        plain = float(loss())
    value = loss()
    assert float(value.detach()) == pytest.approx(plain, rel=1e-5), "one reading from the lowest layer on, or two: the same"
    (gradient,) = torch.autograd.grad(value, [scribe.reader_B])
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0
    # the lowest site's scribe stands behind its own keys: only those of the sites above move with it
    others = [s.reader_B for name, s in bench.parameters.scribe.items() if name == bench.parameters.names[-1]]
    others[0].requires_grad_(True)
    highest = torch.autograd.grad(loss(), others, allow_unused=True)[0]
    assert highest is None or not highest.any(), "behind the last key nothing is written"


def test_it_learns_alone(llama: Base, tmp_path: Path) -> None:
    """Everything else held, steps of the scribe alone lower the loss of the same passages."""
    bench = make_trainer(llama, tmp_path, replace(WITH_SCRIBE, reader_target="all-linear")).bench
    bench.parameters.requires_grad_(False)
    parameters = [p for scribe in bench.parameters.scribe.values() for p in scribe.parameters()]
    for p in parameters:
        p.requires_grad_(True)
    optimiser, losses = torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.0), []
    for _ in range(25):
        groups = [[passage] for passage in PASSAGES[:4]]
        loss = bench.answer_nll([q for g in groups for q in g[0].given], bench.write(groups, 1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.05, losses


def test_a_training_moves_it_and_goes_on_from_its_checkpoint(llama: Base, tmp_path: Path) -> None:
    trainer = make_trainer(llama, tmp_path, WITH_SCRIBE)
    assert all(not scribe.reader_B.any() for scribe in trainer.bench.parameters.scribe.values()), "it begins as the reader alone"
    for _ in range(3):
        trainer.step(0.0)
    below = next(iter(trainer.bench.parameters.scribe.values()))
    assert below.reader_B.any()
    trainer.checkpoint()
    again = make_trainer(llama, tmp_path, WITH_SCRIBE)
    trainer.step(0.0)
    again.step(0.0)
    for (name, mine), theirs in zip(again.bench.parameters.named_parameters(), trainer.bench.parameters.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    trained = {name for name, p in again.bench.parameters.named_parameters() if p.requires_grad and "reader_" in name}
    assert trained == {name for name, _ in again.bench.parameters.named_parameters() if name.startswith("_scribe.")}
    (tmp_path / "held").mkdir()
    held = make_trainer(llama, tmp_path / "held", replace(WITH_SCRIBE, write_pace=0.0, reader_pace=0.15)).bench.parameters
    assert not held.learns_to_read
    (tmp_path / "silent").mkdir()
    silent = make_trainer(llama, tmp_path / "silent", replace(WITH_SCRIBE, scribe_pace=0.0))
    silent.step(0.0)
    assert not silent.bench.parameters.learns_to_read
    assert all(not scribe.reader_B.any() for scribe in silent.bench.parameters.scribe.values())


def test_a_checkpoint_from_before_there_was_one_goes_on_without(llama: Base, tmp_path: Path) -> None:
    trainer = make_trainer(llama, tmp_path, CONFIG)
    trainer.checkpoint()
    journal = Journal.open(tmp_path / "training")
    latest = journal.latest()
    assert latest is not None
    state: dict[str, Any] = dict(latest[0])
    state["config"] = {key: value for key, value in state["config"].items() if not key.startswith("scribe")}
    journal.checkpoint(state, latest[1])
    assert make_trainer(llama, tmp_path, CONFIG).done.steps == 0


def test_it_comes_back_from_a_folder_and_another_rank_takes_what_it_can(llama: Base, tmp_path: Path) -> None:
    protocol = tiny.make_ridge_protocol(llama)
    assert isinstance(protocol.learned, Ridge)
    folder = save_protocol(tmp_path / "p", protocol, llama.identity, {})
    loaded = load_protocol(folder, llama.tokenizer, llama.identity, torch.device("cpu")).learned
    assert loaded is not None
    assert loaded.sizes.scribe_rank == 2
    for name, scribe in protocol.learned.scribe.items():
        assert torch.equal(loaded.scribe[name].reader_B, scribe.reader_B.bfloat16().float())
    for rank in (1, 2, 3):
        other = Ridge.create(replace(protocol.learned.sizes, scribe_rank=rank))
        adopt_parameters(folder, other)
        for name, scribe in loaded.scribe.items():
            full, mine = (s.reader_B @ s.reader_A for s in (scribe, other.scribe[name]))
            off = float((full - mine).norm() / full.norm())
            assert (off < 1e-5) if rank >= 2 else (0 < off < 1), (name, rank)
    none = Ridge.create(replace(protocol.learned.sizes, scribe_rank=0))
    adopt_parameters(folder, none)
    assert none.scribe == {}


def test_a_training_without_one_is_not_gone_on_with_as_one_with_it(llama: Base, tmp_path: Path) -> None:
    trainer = make_trainer(llama, tmp_path, replace(WITH_SCRIBE, scribe_rank=0))
    trainer.checkpoint()
    with pytest.raises(SleepError, match="this training began with scribe_rank 0, got 2; give the same, or another --out"):
        make_trainer(llama, tmp_path, WITH_SCRIBE)


def test_another_rule_goes_on_without(llama: Base, tmp_path: Path) -> None:
    folder = save_protocol(tmp_path / "p", tiny.make_ridge_protocol(llama), llama.identity, {"training": {"scribe_rank": 4}})
    flags = TrainFlags(
        data=(), out=None, minutes=1, rule="keyed", settings=(), model={}, held_out=None, start_from=folder, resume=False, smoke=False
    )
    assert training_config(flags).scribe_rank == 0
    assert training_config(replace(flags, rule="ridge")).scribe_rank == 4


def test_a_protocol_says_that_it_has_one(llama: Base, tmp_path: Path) -> None:
    """To an nrem that knows none, by the version of its schema."""
    for rank, version in ((0, 2), (2, 3)):
        protocol = tiny.make_protocol(llama, "ridge", rank=34, scribe_rank=rank)
        folder = save_protocol(tmp_path / f"p{rank}", protocol, llama.identity, {})
        assert json.loads((folder / "protocol.json").read_text(encoding="utf-8"))["schema_version"] == version


@torch.no_grad()
def test_a_sleep_writes_what_training_writes_with_one_below_the_cut(llama: Base) -> None:
    """And goes on to the same where it was cut off."""
    protocol, config = tiny.make_protocol(llama, "ridge", rank=34, scribe_rank=2, reads_everywhere=True), tiny.make_config()
    learned = protocol.learned
    assert learned is not None
    assert len(learned.scribe) > len(learned.names)
    chunks = tiny.make_chunks(llama)
    indices = [chunk.index for chunk in chunks]

    def night() -> tuple[Sleeper, RidgeRule]:
        sleeper = make_sleeper(llama, config, protocol, make_fast_weights(llama, config, protocol), Ledger(), ignore)
        assert isinstance(sleeper.rule, RidgeRule)
        return sleeper, sleeper.rule

    sleeper, rule = night()
    assert sleeper.split.cut > 0
    expected = Bench(sleeper.split, protocol, learned).write([[Passage(chunk.title, chunk.text, ()) for chunk in chunks]], 2)
    assert expected is not None
    with sleeper.fast.attached(llama.model):
        rule.begin(chunks, [])
        rule.write(indices)
        state = {key: tensor.clone() for key, tensor in rule.state().items()}
        rule.write(indices)
    again, revived = night()
    with again.fast.attached(llama.model):
        revived.begin(chunks, [])
        revived.restore(state)
        revived.write(indices)
    for name, change in expected.items():
        for mine in (rule._changes[name], revived._changes[name]):
            assert float((mine - dense(change)[0]).norm()) < 1e-3 * float(mine.norm())


def test_it_is_for_the_ridge_rule() -> None:
    with pytest.raises(UsageError, match="scribe_rank: got 4 with rule keyed, expected 0, or more with rule ridge"):
        TrainConfig(rule="keyed", scribe_rank=4)
    with pytest.raises(UsageError, match="scribe_rank: got -1 with rule ridge"):
        TrainConfig(scribe_rank=-1)
    with pytest.raises(UsageError, match="scribe_texts: got 0, expected 1 or more; scribe_pace=0 holds the scribe"):
        TrainConfig(scribe_rank=4, scribe_texts=0)
    with pytest.raises(UsageError, match="scribe_pace: got -1, expected 0, which holds the scribe, or more"):
        TrainConfig(scribe_rank=4, scribe_pace=-1.0)
