"""CONTRIBUTING holds: a new write rule is one class and one row, and everything around it works with it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nrem.consolidation.write.rule import PassReport, RuleParts, WriteRule
from nrem.consolidation.write.rules import RULES, RuleKind
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.models.load import Base
from nrem.runtime.parts import config_of
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.session import Session
from tests import tiny


class CountingRule(WriteRule):
    """Adds the number of letters that it was told of to every B: not useful, and easy to check."""

    def __init__(self, parts: RuleParts) -> None:
        self.parts, self.chunks, self.letters = parts, dict[int, Chunk](), 0

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self.chunks = {chunk.index: chunk for chunk in (*replay, *chunks)}

    def next_pass_fet(self, active: Sequence[int]) -> float:
        return float(sum(self.chunks[index].num_tokens for index in active))

    @torch.no_grad()
    def write(self, active: Sequence[int]) -> PassReport:
        new = sum(len(self.chunks[index].text) for index in active)
        with self.parts.ledger.debit("passes", self.next_pass_fet(active)):
            for factors in self.parts.fast.factors.values():
                factors.B.add_(1e-6 * new)
        self.letters += new
        return PassReport(loss=dict.fromkeys(active, 1.0), tokens=sum(self.chunks[index].num_tokens for index in active))

    def end(self) -> None:
        self.chunks = {}

    def state(self) -> dict[str, Tensor]:
        return {"letters": torch.tensor(self.letters)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.letters = int(state["letters"])


def test_a_new_write_rule_is_one_class_and_one_row(llama: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "counting", RuleKind(CountingRule, None))
    config = tiny.make_config("protocol.name=counting", "sleep.passes=2", "sleep.allocator=uniform", "guard.enabled=false")
    memory = consolidate(Document.from_text(tiny.STORY, "story"), base=llama, config=config)
    assert memory.record.protocol["rule"] == "counting"
    assert {chunk.passes for chunk in memory.record.chunks} == {2}
    for factors in memory.weights.factors.values():
        assert factors.B.flatten()[0].item() == pytest.approx(2e-6 * len(tiny.STORY), rel=1e-4)
    loaded = Memory.load(memory.save(tmp_path / "memory"))
    mine = config_of(loaded, ["answer.max_new_tokens=6"], base_given=True)
    assert Session(loaded, base=llama, config=mine).answer("Who?").answer == Session(memory, base=llama).answer("Who?").answer
    longer = extend(loaded, Document.from_text("The ferry sank in 1902. " * 4, "more"), base=llama)
    assert len(longer.record.documents) == 2
