"""What training takes for dreams: pairs that came with a passage, or some of the questions that were given with it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from nrem.consolidation.train.data import MOST_DREAMT, Passage, PassageFile, Sampler, read_source
from nrem.consolidation.train.trainer import ProtocolTrainer, TrainConfig
from nrem.memory.errors import DocumentError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import Base
from tests.benches import PASSAGES
from tests.consolidation.train.test_trainer import random_bench

GIVEN = tuple(QuestionAnswer(f"What is {n}?", str(n)) for n in range(40))


def read(path: Path, row: dict[str, Any]) -> Passage:
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return read_source(path, len, 10_000).documents[0][0]


def test_dreams_come_with_a_passage(tmp_path: Path) -> None:
    row = {"title": "Orrin", "document": "Maren kept the lamp.", "questions": [{"question": "Who?", "answers": ["Maren"]}]}
    assert read(tmp_path / "a.jsonl", row).dreamt == ()
    assert read(tmp_path / "a.jsonl", row | {"dreamt": [["What?", "the lamp"]]}).dreamt == (QuestionAnswer("What?", "the lamp"),)
    for wrong in ([["What?"]], [["What?", 3]], 7):
        with pytest.raises(DocumentError, match=r"a\.jsonl.*: not a passage with questions"):
            read(tmp_path / "a.jsonl", row | {"dreamt": wrong})


def test_some_of_the_given_questions_are_dreamt_where_none_came() -> None:
    passage, rng = Passage("Orrin", "text", GIVEN), random.Random(0)
    assert passage.dreaming(rng, 0.0, 0.5) == passage
    assert passage.dreaming(rng, 1.0, 0.0).dreamt == GIVEN[:MOST_DREAMT]
    some = [passage.dreaming(rng, 0.1, 0.5).dreamt for _ in range(200)]
    assert 2 < sum(map(len, some)) / len(some) < 5
    wrong = [asked for dreamt in some for asked in dreamt if asked not in GIVEN]
    assert 0.4 < len(wrong) / sum(map(len, some)) < 0.6
    assert all(asked.question in {q for q, _ in GIVEN} and asked.answer in {a for _, a in GIVEN} for asked in wrong)
    own = Passage("Orrin", "text", GIVEN, GIVEN[3:4])
    assert own.dreaming(rng, 1.0, 1.0) == own


@pytest.mark.parametrize(("rule", "reads"), [("ridge", True), ("delta", False)])
def test_rules_that_read_dreams_are_trained_on_them(llama: Base, tmp_path: Path, rule: str, reads: bool) -> None:
    """The same steps again from the same seed."""
    config = TrainConfig(rule=rule, chunks_per_step=2, chunks_together=(2,), dreamt_share=(1.0,), ordinary_tokens=256)
    sampler = Sampler([PassageFile("p", (tuple(PASSAGES),))], [1.0], 0.0)
    trainer = ProtocolTrainer(random_bench(llama, 1, rule), sampler, [1] * 999, config, Journal.open(tmp_path / rule), fresh=())
    groups, _ = trainer._drawn(random.Random(3))
    assert all(bool(p.dreamt) == reads for group in groups for p in group)
    assert trainer._drawn(random.Random(3))[0] == groups


@pytest.mark.parametrize("settings", [{"dreamt_share": (0.5, 1.5)}, {"dreamt_share": ()}, {"wrong_dreams": -0.1}])
def test_shares_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="dreamt_share, wrong_dreams: "):
        TrainConfig(**settings)
