"""Sessions and commands that change a memory leave its dreams with their chunks; a run that forgets its text leaves none anywhere."""

import tempfile
from pathlib import Path

import pytest

from nrem.consolidation.events import ignore
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.memory.saved.scratch import PREFIX
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text.evicted import EvictedText
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.job import run_sleep
from nrem.runtime.session.ready import SleepJob
from nrem.runtime.session.rewrite import forget, merge
from tests import tiny
from tests.dreaming import counts_of, dreaming, dreams_of, holding, with_dreams, word

CHUNKS = "text/chunks.jsonl"
OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
MAKERS = {"ridge": tiny.make_ridge_protocol, "keyed": tiny.make_keyed_protocol, "untrained": None}


@pytest.fixture(scope="module", params=MAKERS)
def protocol(request: pytest.FixtureRequest, llama: Base, tmp_path_factory: pytest.TempPathFactory) -> str:
    if (make := MAKERS[request.param]) is None:
        return "untrained"
    return str(save_protocol(tmp_path_factory.mktemp("protocols") / request.param, make(llama), llama.identity, {}))


def dreamt_about(base: Base, protocol: str, text: str, name: str, *settings: str) -> Memory:
    config = tiny.make_config(f"protocol.name={protocol}", "guard.enabled=false", "sleep.passes=1", *settings)
    return with_dreams(consolidate(Document.from_text(text, name), base=base, config=config))


@pytest.mark.parametrize("segment_chunks", [0, 8])
def test_extended_the_old_chunks_keep_theirs(llama: Base, protocol: str, segment_chunks: int, tmp_path: Path) -> None:
    folder = dreamt_about(llama, protocol, tiny.STORY, "a", f"fast_weights.segment_chunks={segment_chunks}").save(tmp_path / "m")
    before, content = dreams_of(Memory.load(folder)), (folder / CHUNKS).read_bytes()
    longer = extend(Memory.load(folder), Document.from_text(OTHER, "b"), base=llama)
    assert (folder / CHUNKS).read_bytes() == content
    assert dreams_of(longer)[: len(before)] == before
    longer.save(folder, force=True)
    assert (folder / CHUNKS).read_bytes().startswith(content), "what was kept is kept as it is"
    again = Memory.load(folder)
    assert dreams_of(again) == dreams_of(longer)
    assert counts_of(again)[: len(before)] == [2] * len(before)


@pytest.mark.parametrize("protocol", ["ridge", "keyed"], indirect=True)  # rules that can take chunks out again
def test_merged_and_partly_forgotten_they_follow_their_chunks(llama: Base, protocol: str, tmp_path: Path) -> None:
    first, second = (dreamt_about(llama, protocol, text, name) for text, name in ((tiny.STORY, "a"), (OTHER, "b")))
    both = Memory.load(merge(first, second, base=llama).save(tmp_path / "m"))
    assert dreams_of(both) == dreams_of(first) + dreams_of(second)
    texts = list(both.text or ())
    left = forget(both, [0], base=llama)
    left.save(tmp_path / "m", force=True)
    assert dreams_of(Memory.load(tmp_path / "m")) == [chunk.dreamt for chunk in texts[1:]]
    assert holding(tmp_path, [word(texts[0])]) == []


@pytest.mark.parametrize("forget_text", [False, True])
def test_a_run_that_forgets_its_text_leaves_no_dream_anywhere(
    llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_text: bool
) -> None:
    """Also in the place of a memory that kept its own, and with checkpoints on the way."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr("nrem.runtime.session.resume.CHECKPOINT_SECONDS", 0.0)
    append, seen = EvictedText.append, set()

    def append_dreaming(text: EvictedText, chunk: Chunk) -> None:
        append(text, chunk if chunk.dreamt else dreaming(chunk))
        seen.update(holding(tmp_path))

    dreamt_about(llama, "untrained", tiny.STORY, "old").save(tmp_path / "m")
    assert [name for name in holding(tmp_path) if not name.startswith("scratch")] == [f"m/{CHUNKS}"]
    monkeypatch.setattr(EvictedText, "append", append_dreaming)
    (tmp_path / "other.md").write_text(tiny.STORY.replace("Orrin", "Sarn"), encoding="utf-8")
    job = SleepJob(documents=(str(tmp_path / "other.md"),), out=tmp_path / "m", force=True, forget_text=forget_text)
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1")
    run_sleep(job, config, base=llama, listener=ignore, tell=lambda text: None)
    assert any(name.startswith("m.unfinished/") for name in seen), "they were on the disk on the way"
    memory = Memory.load(tmp_path / "m")
    assert counts_of(memory) == [2] * len(memory.record.chunks)
    del memory
    assert holding(tmp_path) == ([] if forget_text else [f"m/{CHUNKS}"])
    assert list(scratch.glob(f"{PREFIX}*")) == []
