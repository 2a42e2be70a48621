"""Calibrating the router: nothing is asked twice, memories add up, and its worth is measured on what it has not seen."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.runtime.measure.evaluate import ask_memory
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.tune.calibrate import calibrate
from nrem.runtime.tune.examples import told_apart
from nrem.runtime.tune.exchange import exchange, held_out
from nrem.runtime.wake.features import FEATURES
from nrem.runtime.wake.router import Example, Router
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import WAYS
from tests import tiny
from tests.cli import Shell

QUESTIONS = [Question(id=str(n), question=f"Who kept the lighthouse in 18{n}?", answers=("Maren Tull",)) for n in range(43, 65)]


def planted(count: int, seed: int, told: float = 1.0) -> list[Example]:
    """Direct is right where the first feature is above 0; search for 0.7 of all. `told`: how much the feature says, 0 to 1."""
    rng, found = np.random.default_rng(seed), []
    for n in range(count):
        features = rng.normal(size=len(FEATURES))
        sign = features[0] if rng.random() < told else rng.normal()
        right = {"direct": float(sign > 0.3), "search": float(rng.random() < 0.7)}
        found.append(Example(group=f"d{n % 8}", features=tuple(features), right=right, fet={"direct": 30.0, "search": 400.0}))
    return found


def test_a_router_that_knows_beats_every_mixture() -> None:
    rows = exchange(planted(400, 0), (0.0, 20.0, 1e6))
    assert rows[0].gain.low > 3
    assert rows[0].fet < 430
    assert rows[0].points == pytest.approx(rows[0].mixture + rows[0].gain.mean)
    last = rows[-1]
    assert (last.shares, last.fet) == ({"direct": 1.0, "search": 0.0}, 30.0)
    assert last.gain.mean == pytest.approx(0, abs=1e-9)
    assert [row.fet for row in rows] == sorted((row.fet for row in rows), reverse=True)


def test_a_router_that_knows_nothing_does_not() -> None:
    """The control: features that say nothing must not look as if they did."""
    for row in exchange(planted(400, 1, told=0.0), (0.0, 20.0, 60.0)):
        assert row.gain.low <= 0


def test_no_question_is_routed_by_what_has_seen_its_document() -> None:
    """What the outcomes of a document are must not move how its own questions are routed."""
    found = planted(64, 2)
    other = [replace(e, right={way: 1 - right for way, right in e.right.items()}) if e.group == "d3" else e for e in found]
    mine = [n for n, e in enumerate(found) if e.group == "d3"]
    [one], [two] = held_out(found, (5.0,)), held_out(other, (5.0,))
    assert [one[n] for n in mine] == [two[n] for n in mine]
    assert one != two


@pytest.fixture(scope="module")
def memories(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two saved memories."""
    folder, made = tmp_path_factory.mktemp("memories"), []
    config = tiny.make_config("sleep.passes=1", "guard.enabled=false", "answer.max_new_tokens=3")
    for name, text in (("one", tiny.STORY), ("two", tiny.STORY.replace("Orrin", "Skerry"))):
        memory = Session(base=llama, config=config).stream(Document.from_text(text, name, name))
        made.append(memory.save(folder / name))
    return made


def test_it_learns_from_every_memory_and_asks_nothing_twice(llama: Base, memories: list[Path]) -> None:
    wake, counted = Wake.open(Memory.load(memories[0]), llama), list[tuple[int, int]]()
    first = calibrate(wake, QUESTIONS, count=lambda done, of: counted.append((done, of)))
    assert set(first.router.heads) == set(WAYS)
    assert (first.router.questions, first.router.groups) == (22, 1)
    assert counted[-1] == (22 * len(WAYS), 22 * len(WAYS))
    outcomes = ask_memory(wake, QUESTIONS, "search")
    assert first.router.heads["search"].fet == pytest.approx(sum(o.answer.fet for o in outcomes) / len(outcomes))
    counted.clear()
    again = calibrate(wake, QUESTIONS, count=lambda done, of: counted.append((done, of)))
    assert (again.router, counted) == (first.router, [])
    second = calibrate(Wake.open(Memory.load(memories[1]), llama), QUESTIONS, ["search"])
    assert set(second.router.heads) == set(WAYS), "what was learned of other ways stays"
    assert {way for row in second.exchange for way in row.shares} == {"direct", "search"}
    assert (second.router.questions, second.router.groups) == (44, 2)
    values = json.loads(json.dumps(second.to_dict()))
    assert (values["documents"], values["judged_on"]) == (2, {"questions": 44, "ways": ["direct", "search"]})
    third = calibrate(wake, QUESTIONS)
    assert (third.router.questions, third.exchange[0].questions) == (44, 22), "of the second memory not all ways are known"
    assert [row["price"] for row in values["exchange"]] == [0, 1, 3, 10, 30, 100]
    kept = second.path.read_text(encoding="utf-8")
    assert "lighthouse" not in kept  # numbers only
    assert {a.way for a in wake.answers([q.question for q in QUESTIONS], "router")} <= set(WAYS)


def test_other_settings_give_other_answers(llama: Base, memories: list[Path]) -> None:
    memory, asked = Memory.load(memories[0]), list[int]()
    short = calibrate(Wake.open(memory, llama, ["answer.max_new_tokens=1"]), QUESTIONS, ["search"])
    longer = calibrate(Wake.open(memory, llama, ["answer.max_new_tokens=6"]), QUESTIONS, ["search"], lambda done, of: asked.append(done))
    assert asked, "nothing of another length was taken for it"
    assert longer.router.heads["search"].fet > short.router.heads["search"].fet
    same = Wake.open(memory, llama, ["answer.max_new_tokens=6", "answer.batch_size=3", "answer.price=5"])
    calibrate(same, QUESTIONS, ["search"], lambda done, of: pytest.fail("no answer hangs on these"))


def test_a_document_that_was_slept_on_again_is_the_same_document(llama: Base, memories: list[Path], tmp_path: Path) -> None:
    """One question more, other passes: still the same questions about the same text."""
    first = calibrate(Wake.open(Memory.load(memories[0]), llama), QUESTIONS, ["search"])
    more = [*QUESTIONS, Question(id="more", question="What is the island called?", answers=("Orrin",))]
    again = calibrate(Wake.open(Memory.load(memories[0]), llama), more, ["search"])
    assert (again.router.questions, again.router.groups) == (first.router.questions + 1, first.router.groups)
    config = tiny.make_config("sleep.passes=2", "guard.enabled=false")
    deeper = Session(base=llama, config=config).stream(Document.from_text(tiny.STORY, "anew")).save(tmp_path / "deeper")
    anew = calibrate(Wake.open(Memory.load(deeper), llama), more, ["search"])
    assert (anew.router.questions, anew.router.groups) == (again.router.questions, again.router.groups)


def test_what_shares_a_document_is_held_out_together() -> None:
    found = [replace(e, group="", documents=(e.group,), question=str(n)) for n, e in enumerate(planted(64, 3))]
    both = [replace(found[0], documents=("d0", "d1")), *found]
    kept = told_apart(both)
    assert len(kept) == 64, "a question is there once"
    assert len({e.group for e in kept}) == 7, "d0 and d1 are one"
    assert kept[0].group == kept[1].group
    alike = [replace(e, question="who?", documents=(str(n),)) for n, e in enumerate(planted(8, 3))]
    assert len(told_apart(alike)) == 8, "the same words about other documents are other questions"
    assert len(told_apart([replace(alike[0], documents=("0", "1")), *alike])) == 7
    narrow = replace(alike[0], right={"direct": 1.0}, fet={"direct": 1.0})
    [merged] = told_apart([narrow, alike[0]])
    assert merged.right == {**alike[0].right, "direct": 1.0}, "what is known of another way stays"


def test_a_way_that_a_memory_was_not_asked_in_is_not_chosen_for_it() -> None:
    found = [
        replace(e, right={**e.right, "read": 1.0}, fet={**e.fet, "read": 1.0}) if e.group in ("d0", "d1") else e for e in planted(160, 4)
    ]
    assert "read" in Router.fit(found).heads
    rows = exchange(found, (0.0, 20.0), ways=("direct", "search"))
    assert all(set(row.shares) == {"direct", "search"} and row.questions == 160 for row in rows)
    [row] = exchange(found, (0.0,), ways=("direct", "search", "read"))
    assert row.questions == 40
    assert row.shares["read"] > 0.9


def test_few_documents_are_not_drawn_whole() -> None:
    """Of two, an interval would be as narrow as their difference, and lie above 0 in every sixth run where there is nothing to win."""
    above = 0
    for seed in range(40):
        found = [replace(e, group=f"d{n % 2}") for n, e in enumerate(planted(40, seed, told=0.0))]
        [row] = exchange(found, (0.0,))
        above += row.gain.low > 0
    assert above <= 2


def test_too_few_questions_are_refused(llama: Base, memories: list[Path]) -> None:
    with pytest.raises(UsageError, match="--questions: got 3, expected 20 or more"):
        calibrate(Wake.open(Memory.load(memories[0]), llama), QUESTIONS[:3])


def test_the_command(shell: Shell) -> None:
    lines = (json.dumps({"id": q.id, "question": q.question, "answers": q.answers}) + "\n" for q in QUESTIONS)
    (shell.folder / "qa.jsonl").write_text("".join(lines), encoding="utf-8")
    assert shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m").code == 0
    refused = shell("ask", "m", "Who kept it?", "--way", "router")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("nrem: way router: nothing was calibrated for this base model and protocol; run nrem calibrate")
    done = shell("calibrate", "m", "--questions", "qa.jsonl", "--ways", "search")
    assert (done.code, done.err) == (0, "")
    for part in ("points for 1,000 FET", "mixture", "22 questions, each by a router", "use it with: nrem ask m QUESTION --way router"):
        assert part in done.out
    answer = json.loads(shell("ask", "m", "Who kept it?", "--way", "router", "--set", "answer.price=1e9", "--json").out)
    assert answer["way"] == "direct"
    few = shell("calibrate", "m", "--questions", "qa.jsonl", "--ways", "guess")
    assert few.code == 2
    assert "nrem: way: got 'guess'" in few.err
