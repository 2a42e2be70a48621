"""Sleeping again: unsure answers get passes on what search finds, the price says so, and the memory stays as it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.runtime.config import config_from_dict
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny

QUESTION = "Who kept the Orrin lighthouse?"


@pytest.fixture(scope="module", params=["keyed", "gradient"])
def memory(request: pytest.FixtureRequest, llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Memory:
    name = "untrained"
    if request.param == "keyed":
        name = str(save_protocol(tmp_path_factory.mktemp("p") / "tiny", tiny.make_keyed_protocol(llama), llama.identity, {}))
    config = tiny.make_config(f"protocol.name={name}", "sleep.passes=1", "guard.enabled=false", "fast_weights.question_chunks=1")
    return consolidate(Document.from_text(tiny.STORY), base=llama, config=config)


def session_for(memory: Memory, base: Base, *, sleep_again: int = 0, sure: float = 0.5) -> Session:
    session = Session(memory, base=base)
    way = f"again:{sleep_again}" if sleep_again else "direct"
    answer = replace(session.config.answer, way=way, sure=sure, max_new_tokens=6)  # a memory from the disk does not say how long
    session.config = replace(session.config, answer=answer)
    return session


def test_an_unsure_answer_gets_passes_and_pays_for_them(memory: Memory, llama: Base) -> None:
    plain = session_for(memory, llama).answer(QUESTION)
    before = {key: t.clone() for key, t in memory.weights.tensors().items()}
    again = session_for(memory, llama, sleep_again=3, sure=1.1).answer(QUESTION)
    assert (plain.passes, again.passes) == (0, 3)
    assert again.confidence >= plain.confidence
    assert again.fet > 3 * plain.fet
    assert (again.way, again.amount) == ("again:3", 3)
    assert plain.leans_on == ()
    assert again.leans_on, "the chunks that got the passes"
    assert all(torch.equal(before[key], t) for key, t in memory.weights.tensors().items())


def test_a_sure_answer_and_a_question_about_nothing_cost_no_more(memory: Memory, llama: Base) -> None:
    plain = session_for(memory, llama).answer(QUESTION)
    sure = session_for(memory, llama, sleep_again=3, sure=0.0).answer(QUESTION)
    assert (sure.answer, sure.fet, sure.passes) == (plain.answer, plain.fet, 0)
    assert session_for(memory, llama, sleep_again=3, sure=1.1).answer("xyzzy?").passes == 0


@pytest.mark.parametrize(("intercept", "passes"), [(-20.0, 2), (20.0, 0)])
def test_sure_is_what_was_calibrated(memory: Memory, llama: Base, intercept: float, passes: int) -> None:
    session = session_for(memory, llama, sleep_again=2)
    found = Confidence(intercept=intercept, slope=1.0, passes=1, asked="probes", pairs=40, base_rate=0.3, brier_before=0.4, brier_after=0.2)
    session.wake.protocol = replace(session.protocol, confidence=found)
    answer = session.answer(QUESTION)
    assert answer.passes == passes
    assert answer.confidence == pytest.approx(found.right(answer.token_confidence), abs=1e-4)


def test_batches_sleep_again_too(memory: Memory, llama: Base) -> None:
    answers = session_for(memory, llama, sleep_again=1, sure=1.1).answers([QUESTION, "xyzzy?"])
    assert [a.passes for a in answers] == [1, 0]


def test_the_earlier_setting_is_the_way(memory: Memory, llama: Base) -> None:
    expected = session_for(memory, llama, sleep_again=3, sure=1.1).answer(QUESTION)
    saved = dict(memory.record.config)
    saved["answer"] = {**saved["answer"], "sleep_again": 3, "sure": 1.1}  # as in memories of before there were amounts
    found = Session(memory, base=llama, config=config_from_dict(saved)).answer(QUESTION)
    assert (found.answer, found.fet, found.way, found.passes) == (expected.answer, expected.fet, "again:3", 3)


def test_the_saved_memory_answers_the_same_way(memory: Memory, llama: Base, tmp_path: Path) -> None:
    loaded = Memory.load(memory.save(tmp_path / "m"))
    first, second = (session_for(m, llama, sleep_again=2, sure=1.1).answer(QUESTION) for m in (memory, loaded))
    assert first.answer == second.answer
