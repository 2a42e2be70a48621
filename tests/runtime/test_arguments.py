"""Every public name, given something of another kind: one sentence that names the argument, before any work is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nrem
from nrem.memory.errors import UsageError
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny

api: Any = nrem
"""Untyped: what is tried here is what a type checker refuses."""
WRONG: dict[str, Callable[[Any], object]] = {
    "consolidate(3)": lambda x: api.consolidate(3),
    "consolidate(None)": lambda x: api.consolidate(None),
    "consolidate([])": lambda x: api.consolidate([]),
    "consolidate(b'')": lambda x: api.consolidate(b"text"),
    "consolidate()": lambda x: api.consolidate(base=x.base),
    "consolidate(base=3)": lambda x: api.consolidate(x.document, base=3),
    "consolidate(config={})": lambda x: api.consolidate(x.document, base=x.base, config={"seed": 1}),
    "consolidate(passes='4')": lambda x: api.consolidate(x.document, base=x.base, passes="4"),
    "consolidate(passes=1.5)": lambda x: api.consolidate(x.document, base=x.base, passes=1.5),
    "consolidate(passes=True)": lambda x: api.consolidate(x.document, base=x.base, passes=True),
    "consolidate(passes=-1)": lambda x: api.consolidate(x.document, base=x.base, passes=-1),
    "consolidate(budget=3)": lambda x: api.consolidate(x.document, base=x.base, budget=3),
    "consolidate(budget='0')": lambda x: api.consolidate(x.document, base=x.base, budget="0"),
    "consolidate(out=3)": lambda x: api.consolidate(x.document, base=x.base, out=3),
    "consolidate(out)": lambda x: api.consolidate(base=x.base, out="m"),
    "extend(budget=['1k'])": lambda x: api.extend(x.memory, x.document, base=x.base, budget=["1k"]),
    "extend(3)": lambda x: api.extend(3, x.document),
    "extend('m')": lambda x: api.extend("m", x.document),
    "extend(memory, 3)": lambda x: api.extend(x.memory, 3, base=x.base),
    "extend(memory)": lambda x: api.extend(x.memory, base=x.base),
    "extend(base=[])": lambda x: api.extend(x.memory, x.document, base=[1]),
    "merge(3, 3)": lambda x: api.merge(3, 3),
    "merge(memory, None)": lambda x: api.merge(x.memory, None),
    "forget(None, [0])": lambda x: api.forget(None, [0]),
    "forget(memory, 3)": lambda x: api.forget(x.memory, 3),
    "forget(memory, 'all')": lambda x: api.forget(x.memory, "all"),
    "forget(memory, [1.5])": lambda x: api.forget(x.memory, [1.5]),
    "forget(memory, [99])": lambda x: api.forget(x.memory, [99]),
    "Memory.load(None)": lambda x: api.Memory.load(None),
    "Memory.load([])": lambda x: api.Memory.from_pretrained([]),
    "Memory.save(3)": lambda x: x.memory.save(3),
    "Memory.save_pretrained(None)": lambda x: x.memory.save_pretrained(None),
    "Memory.attached(3)": lambda x: x.memory.attached(3).__enter__(),
    "Memory.route(3)": lambda x: x.memory.route(3),
    "Session(3)": lambda x: api.Session(3),
    "Session(base=3)": lambda x: api.Session(base=3),
    "Session(config='fast')": lambda x: api.Session(base=x.base, config="fast"),
    "Session.stream(3)": lambda x: x.session.stream(3),
    "Session.read([])": lambda x: x.session.read(["a.md"]),
    "Session.answer(3)": lambda x: x.session.answer(3),
    "Session.answer([])": lambda x: x.session.answer(["Who?"]),
    "Session.answer(None)": lambda x: x.session.answer(None),
    "Session.answer('')": lambda x: x.session.answer(""),
    "Session.answer(way=3)": lambda x: x.session.answer("Who?", 3),
    "Session.answers('Who?')": lambda x: x.session.answers("Who?"),
    "Session.answers([3])": lambda x: x.session.answers([3]),
    "Session.answers(3)": lambda x: x.session.answers(3),
    "Wake.open(3)": lambda x: api.Wake.open(3),
    "Wake.open('m')": lambda x: api.Wake.open(memory="m"),
    "Wake.open(base=3)": lambda x: api.Wake.open(x.memory, 3),
    "Document.from_text(3)": lambda x: api.Document.from_text(3),
    "Document.from_text('', name=3)": lambda x: api.Document.from_text("text", 3),
    "load_config(3)": lambda x: api.load_config(3),
    "load_config(settings='a=b')": lambda x: api.load_config(None, "seed=3"),
    "load_config(settings=[3])": lambda x: api.load_config(None, [3]),
    "load_model(3)": lambda x: api.load_model(3),
    "load_model(dtype=3)": lambda x: api.load_model("x/y", dtype=3),
    "load_model(revision=3)": lambda x: api.load_model("x/y", revision=3),
    "load_model(load_in=4)": lambda x: api.load_model("x/y", load_in=4),
    "tune(3)": lambda x: api.tune(3, questions="q.jsonl"),
    "tune(questions=3)": lambda x: api.tune(x.document, questions=3),
    "tune(questions=['Who?'])": lambda x: api.tune(x.document, questions=["Who?"]),
    "tune(passes=4)": lambda x: api.tune(x.document, questions=[], passes=4),
    "tune(passes='4')": lambda x: api.tune(x.document, questions=[], passes="4"),
    "tune(ways='search')": lambda x: api.tune(x.document, questions=[], ways="search"),
    "tune(share='all')": lambda x: api.tune(x.document, questions=[], share="all"),
    "tune(price='1k')": lambda x: api.tune(x.document, questions=[], price="1k"),
    "tune(base=3)": lambda x: api.tune(x.document, questions=[], base=3),
    "tune(budget=3)": lambda x: api.tune(x.document, questions=[], budget=3),
    "tune(budget='much')": lambda x: api.tune(x.document, questions=[], budget="much"),
    "tune(folder=3)": lambda x: api.tune(x.document, questions=[], folder=3),
    "tune(config={})": lambda x: api.tune(x.document, questions=[], config={}),
}


class Given:
    """What is right."""

    def __init__(self, base: Base) -> None:
        self.base, self.document = base, Document.from_text(tiny.STORY[:200], "orrin")
        self.memory = consolidate(self.document, base=base, config=tiny.make_config("guard.enabled=false", "sleep.passes=1"))
        self.session = Session(self.memory, base=base)


@pytest.fixture(scope="module")
def given(llama: Base) -> Given:
    return Given(llama)


@pytest.mark.parametrize("call", WRONG)
def test_one_sentence(given: Given, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^[\w\[\], .-]+: .*got .*(expected|give|ask|lists)") as error:
        WRONG[call](given)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
