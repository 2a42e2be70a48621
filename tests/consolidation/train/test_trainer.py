"""Protocol training: its losses are those of one memory at a time, it learns, and it goes on from its checkpoint with the same steps."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nrem.consolidation.protocol.folder import load_protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Sampler, read_source
from nrem.consolidation.train.trainer import ProtocolTrainer, TrainConfig
from nrem.consolidation.write.delta import DeltaSite
from nrem.consolidation.write.keyed import KeyedRidgeSite
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.ridge_site import RidgeSite
from nrem.consolidation.write.rules import trainable
from nrem.memory.errors import DocumentError, MissingFileError, SleepError, UsageError
from nrem.memory.rebuild import forget
from nrem.memory.saved.journal import Journal
from nrem.runtime.measure.train import TrainJob, make_bench, train_protocol
from nrem.runtime.models.load import Base
from nrem.runtime.parts import question_chunks
from nrem.runtime.session.consolidate import consolidate
from tests import tiny
from tests.benches import PASSAGES, save_passages

EVERY_RULE = pytest.mark.parametrize("rule", list(trainable()))
CONFIG = TrainConfig(
    rank=6, reader_rank=2, max_passes=2, chunks_per_step=4, chunks_together=(1, 2), questions_per_chunk=1, step_size=3e-2, warm_up=2
)


def config_of(rule: Any) -> TrainConfig:
    return replace(CONFIG, rule=rule)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_passages(tmp_path / "passages.jsonl")


def random_bench(base: Base, order: int = 1, rule: str = "keyed") -> Bench:
    protocol = tiny.make_protocol(base, rule)
    assert protocol.learned is not None
    return Bench(SplitModel(base.model, 2), protocol, protocol.learned, order)


@EVERY_RULE
@torch.no_grad()
def test_groups_in_one_batch_are_memories_of_their_own(base: Base, rule: str) -> None:
    bench = random_bench(base, rule=rule)
    together = bench.write([PASSAGES[:2], PASSAGES[2:4]], 2)
    assert together is not None
    for number, group in enumerate((PASSAGES[:2], PASSAGES[2:4])):
        alone = bench.write([group], 2)
        assert alone is not None
        for name, B in alone.items():
            assert (together[name][number] - B[0]).norm() < 1e-3 * B.norm()
    asked = [q for passage in PASSAGES[:4] for q in passage.given]
    both = bench.answer_nll(asked, together)
    for number in range(2):
        own = {name: B[number : number + 1] for name, B in together.items()}
        torch.testing.assert_close(bench.answer_nll(asked[4 * number :][:4], own), both[4 * number :][:4], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_lent_is_attached(base: Base) -> None:
    """The differentiable way and the way of a saved memory give the same logits."""
    bench = random_bench(base)
    fast = bench.write([PASSAGES], 1)
    assert fast is not None
    weights = bench.parameters.fast_weights()
    for name, factors in weights.factors.items():
        factors.B[:, bench.parameters.reader_rank :] = fast[name][0]
    with lent(base.model, bench.parameters, fast):
        mine = tiny.logits_of(base)
    with weights.attached(base.model):
        theirs = tiny.logits_of(base)
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    assert not any(module._forward_hooks for module in base.model.modules())


@EVERY_RULE
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_run_through_as_many_passes_as_asked(llama: Base, order: int, rule: str) -> None:
    bench, passage = random_bench(llama, order, rule), replace(PASSAGES[0], dreamt=PASSAGES[0].given[:1] if rule == "ridge" else ())
    bench.parameters.requires_grad_(True)
    with torch.no_grad():
        expected = bench.answer_nll(passage.given, bench.write([[passage]], 2)).mean()
    loss = bench.answer_nll(passage.given, bench.write([[passage]], 2)).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    gradients = torch.autograd.grad(loss, list(bench.parameters.parameters()), allow_unused=True)
    named = dict(zip(dict(bench.parameters.named_parameters()), gradients, strict=True))
    for name, gradient in named.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
    if order == 2 and rule != "gradient":  # a finite difference in the lowest site's gain, which the second pass feels through the first
        site = bench.parameters.items()[0][1]
        assert isinstance(site, RidgeSite | KeyedRidgeSite | DeltaSite)
        step = 1e-2
        with torch.no_grad():
            ends = []
            for sign in (-1, 2):
                site.gain.add_(sign * step)
                ends.append(float(bench.answer_nll(passage.given, bench.write([[passage]], 2)).mean()))
            site.gain.sub_(step)
        slope = next(g for n, g in named.items() if n.endswith("0.gain"))
        assert slope is not None
        assert float(slope) == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=0.05, abs=1e-3)


def test_no_pass_writes_nothing_and_the_base_does_not_diverge_from_itself(base: Base) -> None:
    bench = random_bench(base)
    assert bench.write([PASSAGES], 0) is None
    with torch.no_grad():
        for _, site in bench.parameters.items():
            site.reader_B.zero_()
        assert float(bench.divergence([list(range(60, 92))], None)) == pytest.approx(0, abs=1e-6)


def make_trainer(base: Base, data: Path, folder: Path, config: TrainConfig = CONFIG) -> ProtocolTrainer:
    bench, _ = make_bench(base, config, TrainJob(data=(data,), out=folder / "protocol", minutes=1))
    source = read_source(data, base.count_tokens, 200)
    return ProtocolTrainer(
        bench, Sampler([source], [1.0], 0.2), list(range(60, 200)), config, Journal.open(folder / "training"), fresh=bench.parameters.names
    )


def test_the_background_is_what_ordinary_text_gives_now(llama: Base, data: Path, tmp_path: Path) -> None:
    trainer = make_trainer(llama, data, tmp_path, config_of("keyed"))
    name, site = trainer.bench.parameters.items()[0]
    assert isinstance(site, KeyedRidgeSite)
    before = []
    for _ in range(3):
        trainer.step(0.0)
        with torch.no_grad():
            trainer.bench.write([[PASSAGES[0]]], 1)
        keys = (trainer.bench.ordinary[name] @ site.A.T).detach()
        torch.testing.assert_close(site.background, keys.T @ keys / len(keys), atol=1e-5, rtol=1e-4)
        before.append(site.background.clone())
    assert not torch.equal(before[0], before[2]), "it follows A"


@EVERY_RULE
def test_it_learns(llama: Base, data: Path, tmp_path: Path, rule: str) -> None:
    trainer = make_trainer(llama, data, tmp_path, config_of(rule))
    losses = [trainer.step(0.0)["loss"] for _ in range(40)]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])


@EVERY_RULE
def test_a_killed_training_goes_on_with_the_same_steps(llama: Base, data: Path, tmp_path: Path, rule: str) -> None:
    config = config_of(rule)
    straight = make_trainer(llama, data, tmp_path / "a", config)
    for _ in range(6):
        straight.step(0.0)
    killed = make_trainer(llama, data, tmp_path / "b", config)
    for _ in range(3):
        killed.step(0.0)
    killed.checkpoint()
    revived = make_trainer(llama, data, tmp_path / "b", config)
    assert revived.done.steps == 3
    for _ in range(3):
        revived.step(0.0)
    for (name, mine), theirs in zip(revived.bench.parameters.named_parameters(), straight.bench.parameters.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    with pytest.raises(SleepError, match=r"this training began with rank 6, got 7; give the same, or another --out"):
        make_trainer(llama, data, tmp_path / "b", replace(config, rank=7))
    with pytest.raises(SleepError, match=rf"this training began with rule {rule}, got "):
        make_trainer(llama, data, tmp_path / "b", replace(config, rule="delta" if rule == "keyed" else "keyed"))
    if rule == "gradient":
        with pytest.raises(SleepError, match="this training began with max_passes 2, got 3"):
            make_trainer(llama, data, tmp_path / "b", replace(config, max_passes=3))


def test_a_checkpoint_that_lacks_what_is_learned_now_is_refused(llama: Base, data: Path, tmp_path: Path) -> None:
    """As one that was written before there was such a thing to learn; nothing of it is taken over."""
    trainer = make_trainer(llama, data, tmp_path / "a", config_of("ridge"))
    trainer.step(0.0)
    trainer.checkpoint()
    journal = Journal.open(tmp_path / "a" / "training")
    latest = journal.latest()
    assert latest is not None
    state, tensors = latest
    lost = next(name for name in tensors if name.startswith("parameter/") and name.endswith(".asked.taps"))
    journal.checkpoint(state, {name: tensor for name, tensor in tensors.items() if name != lost})
    with pytest.raises(SleepError, match=r"this checkpoint has no .*\.asked\.taps, so another version of nrem wrote it; go on with"):
        make_trainer(llama, data, tmp_path / "a", config_of("ridge"))


@EVERY_RULE
def test_train_protocol_leaves_a_protocol_that_loads(llama: Base, data: Path, tmp_path: Path, rule: str) -> None:
    config = config_of(rule)
    job = TrainJob(data=(data,), out=tmp_path / "protocol", minutes=0.05, held_out_passages=2, levels=(1, 2), evaluate_minutes=0)
    said: list[dict[str, Any]] = []
    report = train_protocol(llama, job, config, resume=False, tell=said.append)
    assert report.trained.steps > 0
    assert set(report.figures["right"]) == {1, 2}
    protocol = load_protocol(tmp_path / "protocol", llama.tokenizer, llama.identity, torch.device("cpu"))
    assert protocol.trained_passes == CONFIG.max_passes
    assert (protocol.rule, type(protocol.learned)) == (rule, trainable()[rule])
    assert protocol.learned is not None
    site = protocol.learned.items()[0][1]
    measured = {"ridge": lambda: site.background.weights.sum(), "keyed": lambda: site.background.trace(), "delta": lambda: site.length - 1}
    assert float(measured.get(rule, lambda: 1)()) != 0
    config_of_sleep = tiny.make_config(f"protocol.name={tmp_path / 'protocol'}")
    assert (protocol.segment_chunks, question_chunks(config_of_sleep, protocol)) == {"ridge": (16, 0), "keyed": (16, 8)}.get(rule, (2, 0))
    (tmp_path / "story.md").write_text(tiny.STORY, encoding="utf-8")
    memory = consolidate(tmp_path / "story.md", base=llama, config=config_of_sleep)
    assert memory.record.protocol["id"] == "protocol"
    assert any(factors.B[:, CONFIG.reader_rank :].any() for segment in memory.segments for factors in segment.weights.factors.values())
    if rule not in ("ridge", "keyed"):
        with pytest.raises(UsageError, match="was written by a rule that cannot take chunks out again"):
            forget(memory, [0])
    assert set(report.figures["drift"]) == {1, 2}
    kinds = [row["kind"] for row in said]
    assert "evaluation" in kinds
    assert kinds.index("final") == len(kinds) - 1
    with pytest.raises(UsageError, match="holds an earlier training; go on with --resume, or name another folder"):
        train_protocol(llama, job, config, resume=False, tell=said.append)


def test_data_is_read_or_refused_by_line(llama: Base, data: Path, tmp_path: Path) -> None:
    source = read_source(data, llama.count_tokens, 200)
    assert [p for document in source.documents for p in document] == PASSAGES
    with pytest.raises(MissingFileError, match=r"gone\.jsonl: no such file"):
        read_source(tmp_path / "gone.jsonl", llama.count_tokens, 200)
    with data.open("a", encoding="utf-8") as file:
        file.write('{"text": 3}\n')
    with pytest.raises(DocumentError, match=rf"passages\.jsonl line {len(PASSAGES) + 1}: not a passage with questions"):
        read_source(data, llama.count_tokens, 200)
    (tmp_path / "long.jsonl").write_text(json.dumps({"context": "word " * 500, "questions": [["Who?", "me"]]}) + "\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="no passage of at most 200 tokens in it; give other data or raise the limit"):
        read_source(tmp_path / "long.jsonl", llama.count_tokens, 200)


def test_the_same_generator_draws_the_same(llama: Base, data: Path) -> None:
    sampler = Sampler([read_source(data, llama.count_tokens, 200)], [1.0], 0.5)
    draws = []
    for _ in range(2):
        rng = random.Random("7")
        group = sampler.group(rng, 4)
        draws.append((group, sampler.questions(rng, group, 6)))
    assert draws[0] == draws[1]
    assert len(draws[0][1]) == 6


def test_a_config_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="chunks_together: 3 does not divide chunks_per_step 8"):
        TrainConfig(chunks_together=(3,))
    with pytest.raises(UsageError, match="order: got 3, expected 1 or 2"):
        TrainConfig(order=3)
