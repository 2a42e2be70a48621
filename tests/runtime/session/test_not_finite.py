"""NaN and infinity at every stage: one sentence, exit code 1 or 2, nothing half-written, and no memory of it."""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.budget import Budget
from nrem.consolidation.events import ChunkRead, Listener, NightStarted, PassDone, SleepStarted
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import load_protocol, save_protocol
from nrem.memory.errors import ConfigError, MemoryFolderError, ModelError, NremError, SleepError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved import journal as journal_module
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.journal import Journal
from nrem.runtime.config import load_config
from nrem.runtime.models.load import Base, wrap
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.job import run_sleep
from nrem.runtime.session.ready import SleepJob
from nrem.runtime.session.session import Session
from nrem.runtime.tune.plan import Plan
from nrem.runtime.tune.recommend import Wish
from nrem.runtime.wake.router import Router
from nrem.runtime.wake.ways import WAYS
from tests import cli, tiny

STORY = Document.from_text(tiny.STORY[:300], "orrin")


def spoilt_base(value: float, token: int = 255) -> Base:
    """A model one value of whose (tied) embeddings is this."""
    base = tiny.make_base("llama")
    with torch.no_grad():
        base.model.get_input_embeddings().weight[token].fill_(value)
    return base


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_base_with_such_a_weight_is_refused(value: float) -> None:
    base = spoilt_base(value)
    words = r"tiny/llama holds values that are not finite \(model.embed_tokens.weight\); its files are damaged"
    with pytest.raises(ModelError, match=words):
        wrap(base.model, base.tokenizer, "tiny/llama")


def test_the_command_line_says_so_and_leaves_nothing(shell: cli.Shell, tmp_path: Path) -> None:
    base = spoilt_base(math.nan)
    base.model.save_pretrained(tmp_path / "nan")
    base.tokenizer.save_pretrained(tmp_path / "nan")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = shell("sleep", "story.md", "--config", "tiny.toml", "--model", str(tmp_path / "nan"), "-o", "m", "-q")
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"nrem: .*nan holds values that are not finite \(.*\); its files are damaged.*\n", done.err)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_logits_without_end_end_the_reading(tmp_path: Path) -> None:
    """The weights are finite, their products are not: a token that is never read has a logit without end."""
    config = tiny.make_config("guard.enabled=false")
    with pytest.raises(SleepError, match=r"reading 'Maren .*: the base model's figures are not finite, so nothing can be learned"):
        consolidate(STORY, base=spoilt_base(3e38), config=config).save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def failing_base(kind: type) -> tuple[Base, Listener]:
    """A model that gives NaN for one token of what it reads, once the listener has heard an event of this kind."""
    base, heard = tiny.make_base("llama"), list[object]()

    def spoil(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(-2, torch.tensor([0]), math.nan) if heard and output.shape[-2] else output

    base.model.model.norm.register_forward_hook(spoil)
    return base, lambda event: heard.append(event) if isinstance(event, kind) else None


@pytest.mark.parametrize("kind", [NightStarted, ChunkRead, SleepStarted, PassDone])
@pytest.mark.parametrize("protocol", ["untrained", "unlearned", "keyed"])
def test_a_model_that_fails_on_the_way_leaves_the_older_memory(llama: Base, tmp_path: Path, kind: type, protocol: str) -> None:
    (tmp_path / "story.md").write_text(tiny.STORY[:300], encoding="utf-8")
    if protocol == "keyed":
        protocol = str(save_protocol(tmp_path / "p", tiny.make_keyed_protocol(llama), llama.identity, {}))
    config = tiny.make_config("guard.enabled=false", f"protocol.name={protocol}", "sleep.passes=2", "probes.share=1")
    job = SleepJob(documents=(str(tmp_path / "story.md"),), out=tmp_path / "m", force=True)
    run_sleep(job, config, base=llama, listener=lambda event: None, tell=lambda text: None)
    before = {path.name: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()}
    base, listener = failing_base(kind)
    with pytest.raises(
        SleepError, match=r"figures are not finite|expected a finite number|it wrote is not finite|gives no solution"
    ) as error:
        run_sleep(job, config, base=base, listener=listener, tell=lambda text: None)
    assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()} == before
    if (unfinished := tmp_path / "m.unfinished").exists():  # what was checked before it failed, to go on from
        assert Journal.open(unfinished).latest()


@pytest.mark.parametrize("way", [name if way.counts is None else f"{name}:2" for name, way in WAYS.items()])
def test_such_an_adapter_answers_in_no_way(llama: Base, way: str) -> None:
    config = tiny.make_config("guard.enabled=false", "answer.sure=2", "sleep.passes=1")
    memory = consolidate(STORY, base=llama, config=config)
    for factors in memory.weights.factors.values():
        factors.B.fill_(math.nan)
    session = Session(memory, base=llama, config=config)
    if way.startswith("read"):  # has the adapter off
        assert session.answer("Who kept the lamp?", way)
        return
    with pytest.raises(SleepError, match="not finite"):
        session.answer("Who kept the lamp?", way)
    with pytest.raises(SleepError, match="not finite"):
        session.wake.nlls([("Who kept the lamp?", "Maren Tull")], way)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_protocol_is_neither_saved_nor_opened(llama: Base, tmp_path: Path, value: float) -> None:
    protocol = tiny.make_keyed_protocol(llama)
    folder = save_protocol(tmp_path / "p", protocol, llama.identity, {})
    assert protocol.learned is not None
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    next(iter(protocol.learned.parameters())).data.view(-1)[0] = value
    with pytest.raises(SleepError, match=r"p: what was learned holds values that are not finite \(.*\); nothing was saved"):
        save_protocol(folder, protocol, llama.identity, {})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    (name,) = (path.name for path in folder.glob("*.safetensors"))
    tensors = load_file(folder / name)
    next(iter(tensors.values())).view(-1)[0] = value
    save_file(tensors, folder / name)
    about = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
    about["files"][name] = sha256_file(folder / name)
    (folder / "protocol.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=rf"p: {re.escape(name)} holds values that are not finite"):
        load_protocol(folder, llama.tokenizer, llama.identity, llama.model.device)


def test_a_checkpoint_is_neither_written_nor_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(tmp_path / "m.unfinished")
    journal.checkpoint({"at": 1}, {"fast/x": torch.ones(2)})
    spoilt = {"fast/x": torch.tensor([1.0, math.nan])}
    with pytest.raises(SleepError, match=r"the checkpoint holds values that are not finite \(fast/x\); the last one stays"):
        journal.checkpoint({"at": 2}, spoilt)
    state, _ = journal.latest() or ({}, {})
    assert state == {"at": 1}
    monkeypatch.setattr(journal_module, "check_finite_tensors", lambda *args: None)  # as somebody who can compute hashes
    journal.checkpoint({"at": 2}, spoilt)
    with pytest.raises(MemoryFolderError, match=r"the checkpoint is damaged \(fast/x holds values that are not finite\)"):
        journal.latest()


@pytest.mark.parametrize("what", ["adapter", "statistics"])
def test_a_memory_is_not_saved(llama: Base, tmp_path: Path, what: str) -> None:
    """What is opened is looked at as well: `tests/memory/saved/test_foreign_folder.py`."""
    folder = save_protocol(tmp_path / "p", tiny.make_keyed_protocol(llama), llama.identity, {})
    memory = consolidate(STORY, base=llama, config=tiny.make_config("guard.enabled=false", f"protocol.name={folder}"))
    good = memory.save(tmp_path / "m")
    written = memory.segments[0].written
    assert written is not None
    tensors = memory.weights.tensors() if what == "adapter" else written.tensors()
    next(t for t in tensors.values() if t.is_floating_point() and t.numel()).view(-1)[0] = math.nan
    with pytest.raises(SleepError, match="holds values that are not finite"):
        memory.save(good, force=True)
    assert Memory.load(good)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "p"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_settings(value: str) -> None:
    with pytest.raises(ConfigError, match=r"study.step_size: got 1e\+38, expected a number above 0"):  # no float32 takes it
        load_config(None, ["study.step_size=1e38"])
    for key in ("sleep.budget_fet", "sleep.budget_seconds", "sleep.risk", "study.step_size", "guard.max_kl", "answer.sure", "answer.price"):
        with pytest.raises(ConfigError, match=f"{key} is {value}, expected a finite number"):
            load_config(None, [f"{key}={value}"])
    with pytest.raises(UsageError, match="expected a number above 0 and at most 1"):
        Plan.of(load_config(), 3, share=float(value))
    for wish in ({"price": float(value)}, {"budget": Budget(fet=float(value))}, {"budget": Budget(seconds=float(value))}):
        with pytest.raises(UsageError, match="expected a finite number from 0"):
            Wish(**wish)


@pytest.mark.parametrize(
    "argv",
    [
        ("train-protocol", "--data", "story.md", "-o", "p", "--minutes", "inf"),
        ("train-router", "-o", "r", "--minutes", "inf"),
        ("train-router", "-o", "r", "--price", "nan"),
        ("tune", "story.md", "--questions", "q.jsonl", "-o", "t", "--share", "nan"),
        ("tune", "story.md", "--questions", "q.jsonl", "-o", "t", "--price", "inf"),
        ("sleep", "story.md", "-o", "m", "--budget", "nan"),
        ("sleep", "story.md", "-o", "m", "--budget", "infs"),
    ],
)
def test_flags(shell: cli.Shell, argv: Sequence[str]) -> None:
    done = shell(*argv)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert re.match(rf"nrem: {argv[-2]}: got '?(nan|inf|infs)'?, expected ", done.err), done.err


@pytest.mark.parametrize("kind", [Ceiling, CurveTable, Confidence, Router])
@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "null", '"1"', "true"])
def test_files_that_nrem_has_measured(kind: type, word: str) -> None:
    from benchmarks.reliability import sound_values as sound

    values = {Ceiling: sound.CEILING, CurveTable: sound.CURVES, Confidence: sound.CONFIDENCE, Router: sound.ROUTER}[kind]
    text = json.dumps(values)
    read: Callable[[str, str], object] = kind.from_json  # type: ignore[attr-defined]
    assert read(text, "x.json")
    numbers = [match.span(1) for match in re.finditer(r"(?<=[\[ ])(-?\d+\.\d+)(?=[,\]}])", text)]
    assert len(numbers) > 3
    for start, end in numbers:
        with pytest.raises(NremError, match=r"x.json: not a .* \(.*\); m\w+ it again with nrem"):
            read(text[:start] + word + text[end:], "x.json")
