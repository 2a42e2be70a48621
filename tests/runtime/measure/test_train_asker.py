"""`nrem train-asker`: what it learns is saved and lowers the loss, a killed training ends where an uninterrupted one does, and refusals."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from nrem.consolidation.protocol.asker_file import ASKER, load_asker
from nrem.consolidation.protocol.folder import load_protocol, save_protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train import training
from nrem.consolidation.train.asker_trainer import AskerConfig
from nrem.consolidation.train.asking import CuedText, mean_nll
from nrem.memory.errors import MissingFileError, NremError, SleepError, UsageError
from nrem.memory.saved.lock import lock_file
from nrem.runtime.measure.train_asker import AskerJob, train_asker
from nrem.runtime.models.load import Base
from tests import cli, tiny
from tests.benches import PASSAGES, save_passages

CONFIG = AskerConfig(rank=3, texts_per_step=2, cues_per_text=2, max_chunk_tokens=200, step_size=3e-2, warm_up=2)
STEPS = 10


class Killed(Exception):
    """Stands for the end of a process."""


def ticking(dies_at: int | None = None) -> Iterator[float]:
    """A second a step; the process may die at one."""
    for second in itertools.count():
        if second == dies_at:
            raise Killed
        yield float(second)


@pytest.fixture
def job(llama: Base, tmp_path: Path) -> AskerJob:
    """A protocol in a folder, the passages, and ten steps."""
    folder = save_protocol(tmp_path / "protocol", tiny.make_ridge_protocol(llama), llama.identity, {})
    data = save_passages(tmp_path / "passages.jsonl")
    return AskerJob(protocol=folder, data=(data,), minutes=STEPS / 60, held_out_passages=2, clock=ticking().__next__)


def run(base: Base, job: AskerJob, config: AskerConfig = CONFIG, *, resume: bool = False) -> float:
    """The held-out loss in the end."""
    return train_asker(base, job, config, resume=resume, tell=lambda figures: None).held_out


def test_the_saved_asker_loads_and_lowers_the_held_out_loss(llama: Base, job: AskerJob) -> None:
    said: list[dict[str, Any]] = []
    report = train_asker(llama, replace(job, minutes=40 / 60, evaluate_minutes=15 / 60), CONFIG, resume=False, tell=said.append)
    assert report.trained.steps == 40
    assert report.held_out < 0.9 * report.began
    assert [row["kind"] for row in said] == ["evaluation", "evaluation", "evaluation", "train", "final"]
    assert [row["step"] for row in said] == [0, 15, 30, 40, 40]
    assert said[0]["held_out"] == report.began
    assert said == [json.loads(line) for line in (job.workshop / "log.jsonl").read_text(encoding="utf-8").splitlines()]

    protocol = load_protocol(job.protocol, llama.tokenizer, llama.identity, torch.device("cpu"))
    assert protocol.asker is not None
    assert protocol.asker.rank == CONFIG.rank
    held_out = [CuedText.of(passage) for passage in PASSAGES[:-3:-1]]
    loaded = mean_nll(SplitModel(llama.model, 0), protocol, protocol.asker, held_out, 2)
    assert loaded == pytest.approx(report.held_out, rel=1e-2), "rounded to bfloat16"
    assert not any(module._forward_hooks for module in llama.model.modules())


def test_a_killed_training_ends_where_an_uninterrupted_one_does(llama: Base, job: AskerJob, monkeypatch: pytest.MonkeyPatch) -> None:
    run(llama, job)
    straight = load_file(job.protocol / ASKER)
    other = job.protocol.with_name("other")
    save_protocol(other, tiny.make_ridge_protocol(llama), llama.identity, {})
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 3.0)
    with pytest.raises(Killed):
        run(llama, replace(job, protocol=other, clock=ticking(6).__next__))
    assert not (other / ASKER).exists()
    with pytest.raises(SleepError, match="this training began with rank 3, got 4; give the same, or move this folder away to begin anew"):
        run(llama, replace(job, protocol=other), replace(CONFIG, rank=4), resume=True)
    run(llama, replace(job, protocol=other, clock=ticking().__next__), resume=True)
    revived = load_file(other / ASKER)
    assert straight.keys() == revived.keys()
    assert all(torch.equal(revived[name], straight[name]) for name in straight)


def test_a_finished_one_is_kept_and_goes_on(llama: Base, job: AskerJob) -> None:
    first = run(llama, job)
    for changed in (job, replace(job, minutes=2 * job.minutes)):
        with pytest.raises(UsageError, match=r"protocol\.asker-training holds an earlier training; go on with --resume, or move"):
            run(llama, changed)
    assert run(llama, job, resume=True) == first, "its minutes are spent"
    assert run(llama, replace(job, minutes=2 * job.minutes, clock=ticking().__next__), resume=True) < first
    job.workshop.rename(job.workshop.with_name("away"))
    before = (job.protocol / ASKER).read_bytes()
    for resume in (False, True):
        with pytest.raises(UsageError, match=r"asker\.safetensors: an asker is already there, and no training of it to go on with"):
            run(llama, job, resume=resume)
    assert (job.protocol / ASKER).read_bytes() == before


def test_refusals_leave_nothing(llama: Base, other_llama: Base, job: AskerJob, tmp_path: Path) -> None:
    plain, far, one = tmp_path / "plain.txt", tmp_path / "far.jsonl", tmp_path / "one.jsonl"
    plain.write_text(tiny.STORY, encoding="utf-8")
    rows = [{"title": str(n), "context": "Aldo sailed the boat.", "questions": [["Who?", "Bertram"]]} for n in range(3)]
    far.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    one.write_text(json.dumps({"title": "", "context": PASSAGES[0].text, "questions": [["Where?", "Wexley"]]}) + "\n", encoding="utf-8")
    nothing = "no question with an answer in its passage to learn from; give passages with questions"
    refused: list[tuple[AskerJob, type[NremError], str]] = [
        (
            replace(job, protocol=tmp_path / "gone"),
            MissingFileError,
            r"gone: no protocol there \(protocol.json is missing\); make one with",
        ),
        (replace(job, data=()), UsageError, "--data is needed, a file of passages with questions"),
        (replace(job, data=(tmp_path / "gone.jsonl",)), MissingFileError, r"gone\.jsonl: no such file"),
        (replace(job, data=(plain,)), UsageError, rf"--data plain\.txt: {nothing}"),
        (replace(job, data=(far,)), UsageError, rf"--data far\.jsonl: {nothing}"),
        (replace(job, data=(one,)), UsageError, r"one\.jsonl: not enough documents to hold some out"),
        (replace(job, held_out=far), UsageError, r"far\.jsonl: no question about what is held out has its answer in the passage"),
        (replace(job, minutes=float("inf")), UsageError, "--minutes: got inf, expected a finite number from 0"),
    ]
    for changed, error, sentence in refused:
        with pytest.raises(error, match=sentence):
            run(llama, changed)
    with pytest.raises(NremError, match="this protocol was trained on"):
        run(other_llama, job)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far.jsonl", "one.jsonl", "passages.jsonl", "plain.txt", "protocol"]
    assert not (job.protocol / ASKER).exists()


def test_the_command(shell: cli.Shell, llama: Base, job: AskerJob, model_folder: Path) -> None:
    flags = ("protocol", "--data", "passages.jsonl", "--model", str(model_folder), "--held-out", "passages.jsonl")
    quick = ("--set", "rank=3", "--set", "max_chunk_tokens=200", "--minutes", "0.01")
    done = shell("train-asker", *flags, *quick, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found.keys() == {"asker", "steps", "seconds", "began", "held_out"}
    assert found["steps"] > 0
    assert found["asker"] == "protocol/asker.safetensors"
    assert "step 0, 0.0 min: held out: " in done.err
    assert load_asker(job.protocol, llama.identity, torch.device("cpu")) is not None
    again = shell("train-asker", *flags, *quick)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "nrem: protocol: protocol.asker-training holds an earlier training; go on with --resume" in again.err
    with FileLock(lock_file(Path("protocol"))):
        busy = shell("train-asker", *flags, *quick, "--resume")
    assert (busy.code, busy.err.count("\n")) == (1, 1)
    assert "protocol: " in busy.err
    more = shell("train-asker", *flags, *quick, "--resume")
    assert more.code == 0, more.err
    assert "saved in protocol/asker.safetensors; use it with --set protocol.name=protocol" in more.out
    assert shell("train-asker", *flags, "--set", "rnk=3").code == 2


def test_an_asker_goes_on_from_another(llama: Base, job: AskerJob, tmp_path: Path) -> None:
    first = train_asker(llama, job, CONFIG, resume=False, tell=lambda figures: None)
    folder = save_protocol(tmp_path / "second", tiny.make_ridge_protocol(llama), llama.identity, {})
    later = replace(job, protocol=folder, start_from=job.protocol, clock=ticking().__next__)
    report = train_asker(llama, later, CONFIG, resume=False, tell=lambda figures: None)
    assert report.began == pytest.approx(first.held_out, rel=1e-2), "as it was saved"
    assert report.held_out < report.began
    bare = save_protocol(tmp_path / "third", tiny.make_ridge_protocol(llama), llama.identity, {})
    for start, config, error, sentence in (
        (bare, CONFIG, MissingFileError, r"--from .*third: no asker there \(asker.safetensors is missing\)"),
        (job.protocol, replace(CONFIG, rank=4), UsageError, "its asker has rank 3, got 4; give --set rank=3"),
    ):
        with pytest.raises(error, match=sentence):
            run(llama, replace(later, protocol=bare, start_from=start), config)
    assert sorted(path.name for path in tmp_path.glob("third*")) == ["third"]
