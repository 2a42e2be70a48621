"""Tuning: each row is what its way of answering gives, rows are kept as they come, and nothing is measured twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from nrem.consolidation.events import Event, PassDone
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import UsageError
from nrem.runtime.config import Config, load_config
from nrem.runtime.measure.evaluate import evaluate_memory
from nrem.runtime.measure.questions import Question
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.tune.bank import Bank
from nrem.runtime.tune.job import TuneJob, run_tune
from nrem.runtime.tune.measure import BANK, LEVELS, UNFINISHED
from nrem.runtime.tune.recommend import Wish
from nrem.runtime.tune.rows import Row
from nrem.runtime.tune.tune import Tuning, tune
from tests import tiny

QUESTIONS = [
    Question(id="1", question="Who kept the lighthouse?", answers=("Maren Tull", "Tull")),
    Question(id="2", question="When did the harbour freeze?", answers=("12 January 1858",)),
    Question(id="3", question="What was the glass maker called?", answers=("Bertram Frost",)),
]
STORY = Document.from_text(tiny.STORY, "story", "Orrin")


@pytest.fixture
def config(llama: Base, tmp_path: Path) -> Config:
    """A ridge protocol, one sleep for everything, and a guard that lets it pass."""
    folder = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})
    loose = ("guard.max_kl=100", "guard.max_perplexity_ratio=1e9", "guard.min_recall_gain=-1")
    return tiny.make_config(f"protocol.name={folder}", "stream.buffer_tokens=100000", *loose)


def row(found: Tuning, passes: int | None, way: str = "direct") -> Row:
    """The row of a setting in the protocol's own wording."""
    [mine] = [row for row in found.rows if (row.passes, row.way, row.wording) == (passes, way, "{question}")]
    return mine


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def test_each_row_is_what_eval_says(llama: Base, config: Config, tmp_path: Path) -> None:
    found = tune(STORY, questions=QUESTIONS, passes=(1, 3), base=llama, config=config, folder=tmp_path / "run")
    both = [(level, way) for level in (0, 1, 3) for way in ("direct", "ensemble")]
    assert sorted((row.passes, row.way) for row in found.rows if row.passes is not None) == both
    for level in (1, 3):
        memory = consolidate(STORY, base=llama, passes=level, config=config)
        names = ["floor", "memory", "ensemble", "read", "context"]
        arms = evaluate_memory(llama, memory, QUESTIONS, arms=names, context_text=tiny.STORY).arms
        slept, searched = row(found, level), row(found, level, "ensemble")
        pairs = ((row(found, 0), "floor"), (slept, "memory"), (searched, "ensemble"), (row(found, None), "context"))
        unwritten = (row(found, 0, "ensemble"), "read")  # there is no other witness, and none is paid for
        for measured, arm in (*pairs, unwritten):
            assert measured.values("nll") == pytest.approx([o.nll for o in arms[arm]])
            assert [a.answer for a in measured.asked] == [o.answer.answer for o in arms[arm]]
            assert [a.fet for a in measured.asked] == [o.answer.fet for o in arms[arm]]
        assert slept.sleep_fet == searched.sleep_fet == pytest.approx(sum(memory.record.fet.values()))
        assert 0 < slept.estimation_fet < slept.sleep_fet
        assert slept.total_fet(10) == pytest.approx(slept.sleep_fet + 10 * slept.question_fet)
    assert row(found, 0).sleep_fet == row(found, 0, "ensemble").sleep_fet == row(found, None).sleep_fet == 0
    assert row(found, None).question_fet > 3 * row(found, 0).question_fet
    assert row(found, 1).sleep_fet < row(found, 3).sleep_fet


def test_wordings_are_asked_and_searched_for_as_they_were(llama: Base, config: Config) -> None:
    """A wording changes the prompt, and not what is found for the question."""
    worded = "As to the island: {question}"
    found = tune(STORY, questions=QUESTIONS, passes=(1,), wordings=[worded], base=llama, config=config)
    [asked] = [row for row in found.rows if (row.passes, row.way, row.wording) == (1, "ensemble", worded)]
    own = row(found, 1, "ensemble")
    assert [a.answer for a in asked.asked] != [a.answer for a in own.asked] or asked.values("nll") != own.values("nll")
    longer = {round(a.fet - b.fet) for a, b in zip(asked.asked, own.asked, strict=True)}
    assert all(fet > 0 for fet in longer)
    said = Question(id="1", question="As to the island: " + QUESTIONS[0].question, answers=QUESTIONS[0].answers)
    alone = evaluate_memory(llama, consolidate(STORY, base=llama, passes=1, config=config), [said], arms=["memory"]).arms["memory"]
    [direct] = [row for row in found.rows if (row.passes, row.way, row.wording) == (1, "direct", worded)]
    assert direct.values("nll")[0] == pytest.approx(alone[0].nll)


def test_many_settings_are_halved(llama: Base, config: Config, tmp_path: Path) -> None:
    questions = [Question(id=str(n), question=f"{q.question} ({n})", answers=q.answers) for n in range(4) for q in QUESTIONS]
    wordings = ["In short: {question}", "{question} Say it in a word."]
    given: dict[str, Any] = {"questions": questions, "passes": (1, 2), "wordings": wordings, "base": llama, "config": config}
    found = tune(STORY, **given, share=0.3, folder=tmp_path / "run")
    asked = {row.setting: len(row.asked) for row in found.rows}
    assert len(asked) == 3 * 2 * 3 + 1
    assert min(asked.values()) < 12
    assert found.answers_share < 0.8
    for passes, way in ((0, "direct"), (0, "ensemble"), (2, "direct"), (2, "ensemble"), (None, "direct")):
        assert len(row(found, passes, way).asked) == 12
    chosen = found.recommendation
    best = [r for r in found.rows if (r.passes, r.way, r.wording) == (chosen.passes, chosen.answer_way, chosen.wording)]
    assert [len(r.asked) for r in best] == [12]
    before = (tmp_path / "run" / BANK).read_bytes()
    again = tune(STORY, **{**given, "base": None}, share=0.3, folder=tmp_path / "run", price=50.0)
    assert (tmp_path / "run" / BANK).read_bytes() == before
    assert again.rows == found.rows


def test_the_result_is_whole(llama: Base, config: Config, tmp_path: Path) -> None:
    found = tune(STORY, questions=QUESTIONS, passes=(0, 2), base=llama, config=config, expected_questions=7)
    values = json.loads(json.dumps(found.to_dict()))
    assert [row["way"] for row in values["rows"]] == ["floor", "floor", "passes", "passes", "context"]
    assert [row["answer_way"] for row in values["rows"]] == ["ensemble", "direct", "ensemble", "direct", "direct"]
    for row in values["rows"]:
        assert row["total"]["fet"] == pytest.approx(row["sleep"]["fet"] + 7 * row["question"]["fet"])
        assert all(row[score]["low"] <= row[score]["mean"] <= row[score]["high"] for score in ("f1", "em", "nll"))
    assert values["recommendation"]["passes"] in (0, 2)
    assert found.config.sleep.passes == found.recommendation.passes
    assert found.config.sleep.allocator == "uniform"
    assert found.config.answer.way == found.recommendation.answer_way
    assert values["about"]["documents"][0]["name"] == "story"


def test_a_killed_run_goes_on(llama: Base, config: Config, tmp_path: Path) -> None:
    whole = tune(STORY, questions=QUESTIONS, passes=(1, 2), base=llama, config=config)
    events: list[Event] = []

    def kill(event: Event) -> None:
        if isinstance(event, PassDone) and event.passes == 2:
            raise Killed

    given: dict[str, Any] = {"questions": QUESTIONS, "passes": (1, 2), "base": llama, "config": config, "folder": tmp_path / "run"}
    with pytest.raises(Killed):
        tune(STORY, **given, listener=kill)
    assert [row.passes for row in Bank(tmp_path / "run" / BANK).rows()] == [0, 0, None]
    said: list[str] = []
    again = tune(STORY, **given, listener=events.append, tell=said.append)
    asked = ("1 pass, ensemble", "1 pass", "2 passes, ensemble", "2 passes")
    assert said == [f"asking 3 questions: {name}" for name in asked]
    assert events
    assert [row.values("nll") for row in again.rows] == [pytest.approx(row.values("nll")) for row in whole.rows]
    assert [row.fet.get("passes") for row in again.rows] == [pytest.approx(row.fet.get("passes")) for row in whole.rows]
    assert not (tmp_path / "run" / LEVELS).exists()
    assert not (tmp_path / "run" / UNFINISHED).exists()


def test_a_kill_between_two_levels_loses_no_sleep(llama: Base, config: Config, tmp_path: Path) -> None:
    def kill(text: str) -> None:
        if "2 passes" in text:
            raise Killed

    given: dict[str, Any] = {"questions": QUESTIONS, "passes": (1, 2), "base": llama, "config": config, "folder": tmp_path / "run"}
    with pytest.raises(Killed):
        tune(STORY, **given, tell=kill)
    events: list[Event] = []
    said: list[str] = []
    tune(STORY, **given, listener=events.append, tell=said.append)
    assert (events, said) == ([], ["asking 3 questions: 2 passes, ensemble", "asking 3 questions: 2 passes"])


def test_what_is_measured_serves_another_wish_without_the_model(llama: Base, config: Config, tmp_path: Path) -> None:
    given: dict[str, Any] = {"questions": QUESTIONS, "passes": (1,), "config": config, "folder": tmp_path / "run"}
    first = tune(STORY, **given, base=llama)
    said: list[str] = []
    second = tune(STORY, **given, expected_questions=1000, tell=said.append)
    assert said == []
    assert second.rows == first.rows
    assert second.wish.expected_questions == 1000


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"passes": (1, 2)}, "passes"),
        ({"questions": QUESTIONS[:2]}, "questions"),
        ({"config": tiny.make_config("seed=1")}, "configuration"),
        ({"documents": Document.from_text("Another text.", "story")}, "documents"),
    ],
)
def test_rows_of_something_else_are_not_taken(llama: Base, config: Config, tmp_path: Path, changed: dict[str, Any], what: str) -> None:
    given: dict[str, Any] = {"questions": QUESTIONS, "passes": (1,), "config": config, "folder": tmp_path / "run"}
    tune(STORY, **given, base=llama)
    document = changed.get("documents", STORY)
    with pytest.raises(UsageError, match=f"the run there has other {what}; give the same ones to go on, or start again with --force"):
        tune(document, **{**given, **{k: v for k, v in changed.items() if k != "documents"}}, base=llama)


def test_what_cannot_be_tuned_is_refused(llama: Base) -> None:
    for passes in ((0,), (-1, 2), ()):
        with pytest.raises(UsageError, match="--passes: got"):
            tune(STORY, questions=QUESTIONS, passes=passes, base=llama)
    with pytest.raises(UsageError, match="tune: got no questions"):
        tune(STORY, questions=[], base=llama)
    with pytest.raises(UsageError, match="tune: got no documents"):
        tune(questions=QUESTIONS, base=llama)


def test_a_document_that_does_not_fit_the_prompt_is_said_to_be_cut(llama: Base, config: Config) -> None:
    long = Document.from_text("\n\n".join([tiny.STORY] * 6), "long", "Orrin")
    assert tune(long, questions=QUESTIONS[:1], passes=(1,), base=llama, config=config).rows[-1].cut
    assert not tune(STORY, questions=QUESTIONS[:1], passes=(1,), base=llama, config=config).rows[-1].cut


def test_a_job_ends_with_its_files(llama: Base, config: Config, tmp_path: Path, story: Path) -> None:
    questions = tmp_path / "qa.jsonl"
    questions.write_text("".join(json.dumps({"question": q.question, "answers": q.answers}) + "\n" for q in QUESTIONS), encoding="utf-8")
    job = TuneJob(documents=(str(story),), questions=questions, out=tmp_path / "run", passes=(0, 1), wish=Wish(expected_questions=5))
    said: list[str] = []
    found = run_tune(job, config, base=llama, listener=lambda event: None, tell=said.append)
    assert sorted(path.name for path in job.out.iterdir()) == ["bank.jsonl", "config.toml", "plot.png", "result.json"]
    assert json.loads((job.out / "result.json").read_text(encoding="utf-8")) == json.loads(json.dumps(found.to_dict()))
    assert load_config(job.out / "config.toml") == found.config
    assert (job.out / "plot.png").read_bytes().startswith(b"\x89PNG")
