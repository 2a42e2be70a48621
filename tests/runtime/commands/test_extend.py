"""`nrem extend`: what can be refused is so before anything is read or loaded, and an extension has a budget of its own."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nrem.memory.errors import MissingFileError, UsageError
from nrem.memory.memory import Memory
from nrem.runtime import parts
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.session import Session
from tests import tiny
from tests.cli import SLEEP, Shell

OTHER = "# Sarn\n\nThe mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."


@pytest.fixture
def asleep(shell: Shell) -> dict[str, Any]:
    """The story, slept on without a budget, as JSON."""
    (shell.folder / "other.md").write_text(OTHER, encoding="utf-8")
    return dict(json.loads(shell(*SLEEP, "m", "--json").out))


@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize(
    ("documents", "said"),
    [
        (("other.md", "typo.md"), "typo.md: no such file"),
        (("other.md", "-", "-"), "-: standard input can be read once only; name it once"),
        (("other.md", "."), ".: is a folder, expected a document"),
    ],
)
def test_all_documents_are_looked_at_first(shell: Shell, monkeypatch: pytest.MonkeyPatch, documents: tuple[str, ...], said: str) -> None:
    def load(*args: Any) -> Base:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(parts, "load", load)
    done = shell("extend", "m", *documents)
    assert (done.code, done.out) == (2 if "folder" not in said else 1, "")
    assert said in done.err


def test_a_session_reads_nothing_where_one_cannot_be_read(llama: Base, story: Path) -> None:
    session = Session(base=llama, config=tiny.make_config("guard.enabled=false"))
    with pytest.raises(MissingFileError):
        session.read(story, story.with_name("typo.md"))
    with pytest.raises(UsageError, match="-: standard input can be read once only"):
        session.read(story, "-", "-")
    assert session.memory.record.chunks == []


def test_an_extension_may_cost_as_much_again(shell: Shell, asleep: dict[str, Any]) -> None:
    """What the first sleep has spent is not taken from it: the new document is written, not kept as text only."""
    budget = math.ceil(asleep["fet"] / 2)
    capped = json.loads(shell(*SLEEP, "m", "--force", "--budget", str(budget), "--json").out)
    assert capped["exits"] == {"budget": asleep["chunks"]}
    done = shell("extend", "m", "other.md", "--json")
    figures, shown = json.loads(done.out), json.loads(shell("show", "m", "--json").out)
    assert {c["passes"] > 0 for c in shown["chunks"] if c["document"] == "other.md"} == {True}
    assert 0 < figures["fet"] - capped["fet"] <= budget


def test_an_extension_takes_a_budget(shell: Shell, asleep: dict[str, Any]) -> None:
    free = json.loads(shell("extend", "m", "other.md", "-o", "free", "--json").out)["fet"] - asleep["fet"]
    done = shell("extend", "m", "other.md", "--budget", f"{free / 2:.0f}", "--json")
    assert 0 < json.loads(done.out)["fet"] - asleep["fet"] <= free / 2
    assert f"the budget ran out ({free / 2:,.0f} FET)" in done.err, "the one that it had"
    assert json.loads(shell("show", "m", "--json").out)["config"]["sleep"]["budget_fet"] == round(free / 2)
    done = shell("extend", "free", "other.md", "--budget", "lots")
    assert (done.code, done.out) == (2, "")
    assert "--budget: got 'lots', expected a number above 0 of FET or seconds" in done.err


@pytest.mark.parametrize("unit", ["fet", "seconds"])
def test_what_was_spent_before_is_not_taken_from_it(llama: Base, unit: str, tmp_path: Path) -> None:
    config = tiny.make_config("guard.enabled=false", f"sleep.budget_{unit}=1000000")
    folder = consolidate(Document.from_text(tiny.STORY, "a"), base=llama, config=config).save(tmp_path / "m")
    memory = Memory.load(folder)
    spent = getattr(memory.record, unit)
    spent["passes"] = 2e6
    grown = extend(memory, Document.from_text(OTHER, "b"), base=llama)
    assert all(c.passes for c in grown.record.chunks)
    assert getattr(grown.record, unit)["passes"] > 2e6
