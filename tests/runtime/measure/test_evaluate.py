"""Evaluation: questions are read or refused by line; the arms are what they say; recovery is measured between them."""

import json
import re
from pathlib import Path

import pytest

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import DocumentError, MissingFileError, UsageError
from nrem.memory.memory import Memory, Route
from nrem.runtime.measure.evaluate import ARMS, ask, ask_memory, evaluate_memory, recovery
from nrem.runtime.measure.questions import Question, read_documents, read_questions
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.decode import Answerer
from nrem.runtime.wake.wake import Wake
from tests import tiny

QUESTIONS = [
    Question(id="1", question="Who kept the lighthouse?", answers=("Maren Tull", "Tull")),
    Question(id="2", question="When did the harbour freeze?", answers=("12 January 1858",)),
    Question(id="3", question="What was the glass maker called?", answers=("Bertram Frost",)),
]
OTHER = "Pell Ansgar built the Vane bridge in 1911. It is 512 metres long and was painted green by Ilse Marrow."


@pytest.fixture(scope="module")
def memory(llama: Base) -> Memory:
    return Session(base=llama, config=tiny.make_config()).stream(Document.from_text(tiny.STORY, "story", "Orrin"))


@pytest.fixture(scope="module")
def other(llama: Base) -> Memory:
    return Session(base=llama, config=tiny.make_config()).stream(Document.from_text(OTHER, "other", "Vane"))


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_both_kinds_of_line_are_read(tmp_path: Path) -> None:
    single = {"id": "q1", "question": "Who?", "answers": ["Tull"], "facts": 2}
    whole = {"dataset": "babi_1.2", "document": "Text.", "story": 7, "title": "T"}
    whole |= {"questions": [{"question": "Where?", "answers": ["hallway"], "support": [0, 3], "n_facts": 4}]}
    found = read_questions(write(tmp_path / "q.jsonl", single, "", whole))
    assert [(q.id, q.dataset, q.labels) for q in found] == [
        ("q1", "", {"facts": 2}),
        ("-0", "babi_1.2", {"n_facts": 4, "facts_needed": 2}),
    ]
    (document,) = read_documents(write(tmp_path / "d.jsonl", whole))
    assert (document.group, document.title, document.text, document.questions) == ("story 7", "T", "Text.", (found[1],))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not valid JSON"),
        ("[1]", "line 2: got list, expected an object"),
        ('{"question": "Who?"}', "line 2: answers of 'Who?' must be a list"),
        ('{"question": "Who?", "answers": []}', "line 2: answers of 'Who?'"),
        ('{"question": " ", "answers": ["a"]}', "line 2: no text under question"),
        ('{"questions": "Who?"}', "line 2: questions must be a list of objects"),
        ('{"question": "Who\\u0000?", "answers": ["Maren"]}', "a question has a NUL character in it, expected text"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "q.jsonl", {"question": "Who?", "answers": ["Tull"]}, line)
    with pytest.raises(DocumentError, match=re.escape(message)):
        read_questions(path)


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(DocumentError, match="no questions with answers in it"):
        read_questions(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(DocumentError, match="line 1: no text under document"):
        read_documents(write(tmp_path / "d.jsonl", {"question": "Who?", "answers": ["a"]}))


def test_the_keys_and_the_arithmetic_of_an_evaluation(llama: Base, memory: Memory, other: Memory) -> None:
    found = evaluate_memory(llama, memory, QUESTIONS, wrong=other)
    values = found.to_dict()
    assert list(values["arms"]) == list(ARMS)
    for name, arm in values["arms"].items():
        assert {"nll", "f1", "em", "n"} <= arm.keys()
        assert arm["n"] == len(QUESTIONS)
        assert arm["nll"] == pytest.approx(sum(o.nll for o in found.arms[name]) / 3)
    nll = {name: arm["nll"] for name, arm in values["arms"].items()}
    assert values["recovery"] == recovery(nll)
    json.dumps(values)


def test_each_arm_is_what_it_says(llama: Base, memory: Memory, other: Memory) -> None:
    found = evaluate_memory(llama, memory, QUESTIONS, wrong=other).arms
    answerer = Answerer(llama, make_protocol(llama, tiny.make_config()), tiny.make_config().answer)

    def nlls(context: str = "") -> list[float]:
        return answerer.nlls([(q.question, q.answers[0]) for q in QUESTIONS], context)

    assert [o.nll for o in found["floor"]] == pytest.approx(nlls())  # untrained: nothing consolidated is the base
    with memory.attached(llama.model):
        assert [o.nll for o in found["memory"]] == pytest.approx(nlls())
    with other.attached(llama.model):
        assert [o.nll for o in found["wrong"]] == pytest.approx(nlls())
    assert [o.nll for o in found["context"]] == pytest.approx(nlls(tiny.STORY))
    assert len({round(sum(o.nll for o in arm), 6) for arm in found.values()}) == len(found)
    assert {o.answer.document_tokens for o in found["memory"]} == {0}
    assert all(o.answer.document_tokens > 400 for o in found["context"])


def test_with_a_trained_protocol_the_floor_has_its_reader(llama: Base, tmp_path: Path) -> None:
    folder = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(llama), llama.identity, {})
    config = tiny.make_config(f"protocol.name={folder}")
    memory = Session(base=llama, config=config).stream(Document.from_text(tiny.STORY, "story", "Orrin"))
    floor = evaluate_memory(llama, memory, QUESTIONS, arms=["floor"]).arms["floor"]
    protocol = make_protocol(llama, config)
    answerer = Answerer(llama, protocol, config.answer)
    bare = [o.nll for o in ask(answerer, QUESTIONS)]
    with make_fast_weights(llama, config, protocol).attached(llama.model):
        read = [o.nll for o in ask(answerer, QUESTIONS)]
    assert [o.nll for o in floor] == pytest.approx(read)
    assert read != pytest.approx(bare)


def test_questions_go_to_the_segment_that_they_are_about(
    llama: Base, memory: Memory, other: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Memory(record=memory.record, segments=[*memory.segments, *other.segments], text=memory.text)
    monkeypatch.setattr(two, "route", lambda question: Route(int("harbour" in question)))
    expected = [ask_memory(Wake.open(m, llama), QUESTIONS)[i].nll for i, m in enumerate((memory, other, memory))]
    assert [o.nll for o in ask_memory(Wake.open(two, llama), QUESTIONS)] == pytest.approx(expected, rel=1e-4)


def test_without_a_wrong_memory_one_is_made(llama: Base, memory: Memory) -> None:
    wrong = evaluate_memory(llama, memory, QUESTIONS[:1], arms=["wrong", "floor"]).arms
    assert wrong["wrong"][0].nll != wrong["floor"][0].nll


def test_what_cannot_be_asked_is_refused(llama: Base, memory: Memory) -> None:
    with pytest.raises(UsageError, match=r"--arms: got 'best', expected some of floor, wrong, memory, read, search, ensemble, context"):
        evaluate_memory(llama, memory, QUESTIONS, arms=["floor", "best"])
    with pytest.raises(UsageError, match="no questions"):
        evaluate_memory(llama, memory, [])
    bare = Memory(record=memory.record, segments=memory.segments, text=None)
    with pytest.raises(UsageError, match="its text was not kept"):
        evaluate_memory(llama, bare, QUESTIONS, arms=["context"])
    assert evaluate_memory(llama, bare, QUESTIONS, arms=["context"], context_text="Short.").arms["context"][0].answer.document_tokens


def test_recovery() -> None:
    nll = {"floor": 4.0, "wrong": 3.5, "memory": 2.5, "context": 1.5}
    assert recovery(nll) == pytest.approx(0.6)
    assert recovery(nll, best_floor=True) == pytest.approx(0.5)
    assert recovery(nll | {"context": 4.5}) is None
    assert recovery({"floor": 4.0, "memory": 3.0}) is None
