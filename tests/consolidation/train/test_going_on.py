"""Training from a protocol that there is: smaller steps, modules that begin anew beside it, and a reader that is held."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from nrem.consolidation.protocol.folder import save_protocol, shipped
from nrem.consolidation.train.data import Sampler, read_source
from nrem.consolidation.train.optimisers import PACES
from nrem.consolidation.train.trainer import ProtocolTrainer, TrainConfig
from nrem.consolidation.write.ridge_site import RidgeSite
from nrem.memory.errors import ConfigError, MemoryFolderError, SleepError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.runtime.measure.train import TrainJob, make_bench
from nrem.runtime.measure.train_job import GO_ON_STEP_SIZE, TrainFlags, training_config
from nrem.runtime.models.load import Base
from tests import tiny
from tests.benches import save_passages

CONFIG = TrainConfig(rank=6, reader_rank=2, max_passes=2, chunks_per_step=4, chunks_together=(1, 2), questions_per_chunk=1, warm_up=2)


def test_going_on_from_a_protocol_takes_smaller_steps() -> None:
    new = TrainFlags(
        data=(), out=None, minutes=1, rule="delta", settings=(), model={}, held_out=None, start_from=None, resume=False, smoke=False
    )
    assert training_config(new) == TrainConfig(rule="delta")
    going_on = replace(new, start_from=Path("protocol"))
    assert training_config(going_on).step_size == GO_ON_STEP_SIZE < TrainConfig().step_size
    assert training_config(replace(going_on, settings=("step_size=0.5", "rank=8"))) == TrainConfig(rule="delta", rank=8, step_size=0.5)
    assert training_config(replace(new, settings=("chunks_together=[1, 2]",))).chunks_together == (1, 2)
    wanted = "--set chunks_together=1,2: chunks_together is '1,2'; input should be a list, such as [1, 2]"
    with pytest.raises(ConfigError, match=re.escape(wanted)):
        training_config(replace(new, settings=("chunks_together=1,2",)))


def test_going_on_is_for_the_modules_and_ranks_of_the_protocol_before(llama: Base, tmp_path: Path) -> None:
    """Else what it has learned for others would be lost without a word."""
    trained = {"rank": 6, "reader_rank": 3, "layers": "upper-third", "reader_target": "all-linear", "step_size": 0.5, "gone": 1}
    folder = save_protocol(tmp_path / "p", tiny.make_ridge_protocol(llama), llama.identity, {"training": trained})
    flags = TrainFlags(
        data=(), out=None, minutes=1, rule="ridge", settings=(), model={}, held_out=None, start_from=folder, resume=False, smoke=False
    )
    flags = replace(flags, settings=("reader_rank=5",))
    found = training_config(flags)
    assert (found.rank, found.reader_rank, found.layers, found.reader_target) == (6, 5, "upper-third", "all-linear")
    assert found.step_size == GO_ON_STEP_SIZE
    assert training_config(replace(flags, start_from=shipped()[0])).reader_target == "all-linear"
    (folder / "protocol.json").write_text("{", encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=r"protocol\.json: damaged"):
        training_config(flags)


def test_a_module_that_begins_beside_trained_ones_writes_in_units_of_its_outputs(llama: Base, tmp_path: Path) -> None:
    trained = tiny.make_ridge_protocol(llama)
    assert trained.learned is not None
    save_protocol(tmp_path / "trained", trained, llama.identity, {})
    more = replace(CONFIG, target="down_proj,o_proj", layers="all", reader_rank=trained.learned.reader_rank)
    trainer = make_trainer(llama, tmp_path, more, tmp_path / "trained")
    units = {name: float(site.unit) for name, site in trainer.bench.parameters.items() if isinstance(site, RidgeSite)}
    assert {name for name, unit in units.items() if unit == 1} == set(trained.learned.names)
    assert all(unit > 0 for unit in units.values())
    assert len(units) > len(trained.learned.names)


def test_a_reader_that_is_held_stays_while_the_write_learns(llama: Base, tmp_path: Path) -> None:
    trainer = make_trainer(llama, tmp_path, replace(CONFIG, reader_pace=0.0))
    before = {name: p.detach().clone() for name, p in trainer.bench.parameters.named_parameters()}
    for _ in range(4):
        assert {"loss", "reading"} <= trainer.step(0.0).keys()
    moved = {name for name, p in trainer.bench.parameters.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert not any("reader" in name for name in moved)
    trainer.checkpoint()
    again = make_trainer(llama, tmp_path, CONFIG)  # the reader is let go where it was
    assert all(torch.equal(p, q) for p, q in zip(*(t.bench.parameters.parameters() for t in (again, trainer)), strict=True))
    trained = save_protocol(tmp_path / "trained", tiny.make_ridge_protocol(llama), llama.identity, {})
    with pytest.raises(SleepError, match="this training began from another protocol; give the same --from, or another --out"):
        make_trainer(llama, tmp_path, CONFIG, trained)
    with pytest.raises(UsageError, match="reader_pace: got -1, expected 0, which holds the reader, or more"):
        replace(CONFIG, reader_pace=-1.0)
    with pytest.raises(UsageError, match="write_every: got 2, expected 1: with reader_pace 0 the steps between would learn nothing"):
        replace(CONFIG, reader_pace=0.0, write_every=2)


def test_a_write_that_is_held_stays_while_the_reader_learns(llama: Base, tmp_path: Path) -> None:
    trainer = make_trainer(llama, tmp_path, replace(CONFIG, write_pace=0.0, memory_on_share=1.0))
    before = {name: p.detach().clone() for name, p in trainer.bench.parameters.named_parameters()}
    for _ in range(4):
        assert {"loss", "reading"} <= trainer.step(0.0).keys()
    moved = {name for name, p in trainer.bench.parameters.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if name.endswith(("reader_A", "reader_B"))}
    with pytest.raises(UsageError, match="write_pace: got -1, expected 0, which holds the write, or more"):
        replace(CONFIG, write_pace=-1.0)
    with pytest.raises(UsageError, match="reader_pace, write_pace: got 0 for both, expected more for one of them"):
        replace(CONFIG, write_pace=0.0, reader_pace=0.0)


@pytest.mark.parametrize("values_by", ["muon", "adamw"])
def test_the_first_step_has_the_size_that_it_should(llama: Base, tmp_path: Path, values_by: Literal["muon", "adamw"]) -> None:
    """Of every parameter that is not held, by its own pace; AdamW moves each number by the step size, Muon as far in the mean."""
    config = replace(CONFIG, step_size=1e-3, warm_up=0, decay_share=0, reader_pace=0.5, write_pace=0.2, values_by=values_by, values_decay=0)
    trainer = make_trainer(llama, tmp_path, config)
    before = {name: p.detach().clone() for name, p in trainer.bench.parameters.named_parameters()}
    trainer.step(0.0)
    for name, p in trainer.bench.parameters.named_parameters():
        if p.grad is None or not (p.grad.abs() > 1e-5).any():
            continue
        moved = (p.detach() - before[name])[p.grad.abs() > 1e-5].abs()
        pace = 0.5 if "reader" in name else 0.2 * next((pace for part, pace in PACES.items() if part in name), 1.0)
        if values_by == "adamw" or p.ndim < 2 or "reader" in name:
            assert float(moved.median()) == pytest.approx(1e-3 * pace, rel=0.05), name
        else:
            assert 1e-4 * pace < float(moved.square().mean().sqrt()) < 1e-3 * pace, name


def make_trainer(base: Base, folder: Path, config: TrainConfig, start_from: Path | None = None) -> ProtocolTrainer:
    data = save_passages(folder / "passages.jsonl")
    bench, fresh = make_bench(base, config, TrainJob(data=(data,), out=folder / "protocol", minutes=1, start_from=start_from))
    sampler = Sampler([read_source(data, base.count_tokens, 200)], [1.0], 0.2)
    return ProtocolTrainer(bench, sampler, list(range(60, 200)), config, Journal.open(folder / "training"), fresh=fresh)
