"""The main job in one call, from Python: saved on the way, under a budget, with a base by its name."""

from pathlib import Path

import pytest

from nrem.consolidation.events import PassDone
from nrem.memory.errors import BudgetError, UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import UNFINISHED
from nrem.runtime.models.load import Base, load
from nrem.runtime.readers.document import Document
from nrem.runtime.session import resume as unfinished
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.tune.tune import tune
from nrem.runtime.wake.wake import Wake
from tests import tiny
from tests.streams import LONG, Killed, config_for, dies_after, equal, in_pieces


def test_saved_on_the_way_and_killed_it_goes_on_to_the_same(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "CHECKPOINT_SECONDS", 0.0)
    config, out = config_for(llama, "keyed", tmp_path, "sleep.passes=2"), tmp_path / "memory"
    whole = consolidate(in_pieces(LONG), base=llama, config=config)
    with pytest.raises(Killed):
        consolidate(in_pieces(LONG), base=llama, config=config, out=out, listener=dies_after(1, PassDone))
    assert not out.exists()
    with pytest.raises(UsageError, match="unfinished sleep is there; go on with"):
        consolidate(in_pieces(LONG), base=llama, config=config, out=out)
    memory = consolidate(in_pieces(LONG), base=llama, config=config, out=out, resume=True)
    assert equal(memory, whole)
    assert memory.folder == out
    assert not out.with_name(out.name + UNFINISHED).exists()
    heard: list[object] = []
    again = consolidate(in_pieces(LONG), base=llama, config=config, out=out, resume=True, listener=heard.append)
    assert equal(again, whole)
    assert not heard
    with pytest.raises(UsageError, match="a memory is already there"):
        consolidate(in_pieces(LONG), base=llama, config=config, out=out)
    other = consolidate(Document.from_text(tiny.STORY, "b"), base=llama, config=config, out=out, force=True)
    assert [document.name for document in Memory.load(out).record.documents] == ["b"]
    assert not equal(other, whole)


@pytest.mark.parametrize("key", ["resume", "force"])
def test_what_is_about_a_folder_needs_one(llama: Base, key: str) -> None:
    with pytest.raises(UsageError, match=f"^{key}: got True without `out`; name the folder"):
        consolidate(Document.from_text(tiny.STORY), base=llama, **{key: True})  # type: ignore[arg-type]


def test_a_budget_in_words(llama: Base, tmp_path: Path) -> None:
    config = config_for(llama, "gradient", tmp_path, "sleep.passes=8")
    free = consolidate(in_pieces(LONG), base=llama, config=config)
    spent = sum(free.record.fet.values())
    capped = consolidate(in_pieces(LONG), base=llama, config=config, budget=f"{spent / 2:.0f}FET")
    assert sum(capped.record.fet.values()) <= spent / 2
    assert capped.record.config["sleep"]["budget_fet"] == float(f"{spent / 2:.0f}")
    before = sum(capped.record.fet.values())
    longer = extend(capped, Document.from_text(tiny.STORY, "b"), base=llama, budget="1.5k")
    assert 0 < sum(longer.record.fet.values()) - before <= 1500
    with pytest.raises(BudgetError, match=r"^budget: got 'much'"):
        extend(longer, Document.from_text(tiny.STORY, "c"), base=llama, budget="much")


def test_a_base_by_its_name_wherever_one_may_be_given(model_folder: Path, tmp_path: Path) -> None:
    name = str(model_folder)
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1", "model.dtype=fp32")
    memory = consolidate(Document.from_text(tiny.STORY, "a"), base=name, config=config, out=tmp_path / "memory")
    session_made = consolidate(Document.from_text(tiny.STORY, "a"), base=load(name, dtype="fp32"), config=config)
    assert equal(memory, session_made)
    answer = Wake.open(memory, name, ["model.dtype=fp32"]).answer("Who?", "direct")
    assert answer.answer == Wake.open(memory, load(name, dtype="fp32")).answer("Who?", "direct").answer
    questions = tmp_path / "qa.jsonl"
    questions.write_text('{"question": "Who keeps the light?", "answers": ["Maren"]}\n', encoding="utf-8")
    found = tune(Document.from_text(tiny.STORY, "a"), questions=questions, passes=[0, 1], base=name, config=config, budget="1M")
    assert found.wish.budget.fet == 1e6
    assert found.config.model.name == name
