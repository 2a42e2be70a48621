"""The answers that confidence is calibrated on: asked of each chunk alone, scored, at the depth of a sleep, and used once they are kept."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nrem.consolidation.events import Event, PassDone
from nrem.consolidation.probe.material import StudyMaterial
from nrem.consolidation.probe.probes import Probe
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import CONFIDENCE, save_protocol
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.config import Config
from nrem.runtime.measure.calibrate import ProbeAsker, confidence_of_questions, nearest_level
from nrem.runtime.measure.ceiling import measure_ceiling
from nrem.runtime.measure.ceiling_table import confidence_line
from nrem.runtime.measure.questions import Question, QuestionedDocument
from nrem.runtime.measure.scores import score
from nrem.runtime.models.load import Base
from nrem.runtime.parts import calibration_folder, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.answer import Answer
from tests import tiny

PLANTED = [(0.1 + 0.008 * n, n % 5 == 0 or n > 80) for n in range(100)]


@pytest.fixture(scope="module")
def config(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Config:
    name = save_protocol(tmp_path_factory.mktemp("p") / "tiny", tiny.make_keyed_protocol(llama), llama.identity, {})
    return tiny.make_config(f"protocol.name={name}", "sleep.allocator=uniform", "guard.enabled=false", "fast_weights.question_chunks=1")


def listen(llama: Base, config: Config, asker: ProbeAsker) -> Session:
    """A session that has read the story, with `asker` asking after every pass."""

    def ask(event: Event) -> None:
        if isinstance(event, PassDone):
            for chunk in session.memory.record.chunks:
                asker.ask(session, chunk.index, event.passes)

    session = Session(base=llama, config=config, listener=ask)
    session.stream(Document.from_text(tiny.STORY, "story"))
    assert len(session.memory.record.sleeps) == 1
    return session


def test_every_chunk_is_asked_alone(llama: Base, config: Config) -> None:
    asker = ProbeAsker((0, 1, 2), trained_passes=2)
    session = listen(llama, config, asker)
    assert set(asker.pairs) == {1, 2}
    assert asker.pairs[1] != asker.pairs[2]
    assert session.memory.text is not None
    segment, expected = session.memory.segments[0], []
    for chunk in session.memory.text:
        with segment.of_chunks({chunk.index: 1.0}).attached(llama.model):
            probes = session.writer.sleeper.questions_of(chunk)
            expected += [answer.token_confidence for answer in session.wake.answerer.ask_all([p.question for p in probes])]
    assert [p for p, _ in asker.pairs[2]] == pytest.approx(expected, abs=2e-3)
    assert len(expected) > 2


def test_right_is_what_the_probe_wants(llama: Base, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, str] = {}
    wanted = StudyMaterial.held_out_probes

    class Notes(ProbeAsker):
        def ask(self, session: Session, index: int, level: int) -> None:
            super().ask(session, index, level)
            probes = session.writer.sleeper.meter.material.held_out_probes(session.memory.text.get(index)) if session.memory.text else []
            with session.writer.sleeper.rule.alone(index):
                said.update({p.question: a.answer for p in probes for a in session.wake.answerer.ask_all([p.question])})

    def as_said(self: StudyMaterial, chunk: Chunk) -> Sequence[Probe]:
        return [replace(probe, answer=said.get(probe.question, probe.answer)) for probe in wanted(self, chunk)]

    plain = Notes((0, 2), trained_passes=2)
    listen(llama, config, plain)
    assert not any(right for _, right in plain.pairs[2])
    monkeypatch.setattr(StudyMaterial, "held_out_probes", as_said)
    planted = ProbeAsker((0, 2), trained_passes=2)
    listen(llama, config, planted)
    assert all(right for _, right in planted.pairs[2])


def test_questions_are_asked_as_any_question_is(llama: Base, config: Config) -> None:
    words = [f"Who kept lamp {n}?" for n in range(12)]
    memory = Session(base=llama, config=replace(config, sleep=replace(config.sleep, passes=1)))
    memory.stream(Document.from_text(tiny.STORY, "story"))
    said = memory.answers(words)
    kept = [a.answer if n % 3 == 0 and a.answer else "something else" for n, a in enumerate(said)]
    asked = tuple(Question(id=w, question=w, answers=(k,)) for w, k in zip(words, kept, strict=True))
    document = QuestionedDocument(id="story", title="", text=tiny.STORY, group="story", questions=asked)
    right = [score(q.question, a.answer, q.answers).accuracy == 1 for q, a in zip(asked, said, strict=True)]
    assert 0 < sum(right) < len(right)
    unsure = replace(config, answer=replace(config.answer, sleep_again=1, sure=2.0))  # must not sleep on a question here
    found = confidence_of_questions(llama, unsure, [document, document], 1, lambda event: None)
    assert found is not None
    expected = Confidence.of(
        [(a.token_confidence, ok) for a, ok in zip(said, right, strict=True)] * 2, 1, "questions", str(memory.wake.way())
    )
    assert replace(found, others=()) == expected
    for fit in found.others:
        answers = memory.wake.answers(words, fit.way)
        hits = [score(q.question, a.answer, q.answers).accuracy == 1 for q, a in zip(asked, answers, strict=True)]
        own = Confidence.of([(a.token_confidence, ok) for a, ok in zip(answers, hits, strict=True)] * 2, 1, "questions", fit.way)
        assert fit == own == found.of_way(fit.way)
    measured = measure_ceiling(llama, config, [Document.from_text(tiny.STORY)], (0, 1), lambda event: None, [document, document])
    assert measured.confidence == found


def test_the_level_is_where_a_sleep_ends() -> None:
    levels = (0, 1, 2, 4, 8)
    assert [nearest_level(levels, trained) for trained in (1, 2, 3, 5, 6, 0)] == [1, 2, 2, 4, 4, 8]
    assert nearest_level(levels, 4, n_star=2) == 2
    asker = ProbeAsker(levels, trained_passes=4)
    assert asker.levels == (1, 2, 4)
    asker.pairs |= {2: PLANTED, 4: PLANTED[:50]}
    for n_star, passes in ((2, 2), (4, 4), (8, 4), (0, 4)):
        assert asker.confidence(n_star) == Confidence.of(asker.pairs[passes], passes)
    assert asker.confidence(1) is None  # nothing was asked there


def test_a_calibration_is_kept_used_closed_book_and_taken_back(llama: Base, config: Config) -> None:
    documents = [Document.from_text(tiny.STORY, "story"), Document.from_text(tiny.STORY.replace("Orrin", "Tarn"), "other")]
    measured = measure_ceiling(llama, config, documents, (0, 1), lambda event: None)
    assert measured.confidence is None  # a tiny model is never right

    def asked(way: str) -> Answer:
        session = Session(base=llama, config=config)
        session.stream(documents[0])
        return session.answer("Who kept the lighthouse?", way)

    plain = asked("direct")
    assert plain.confidence == plain.token_confidence
    found = Confidence.of(PLANTED, 1)
    assert found is not None
    folder = calibration_folder(llama, measured.protocol)
    replace(measured, confidence=found).save(folder)
    assert make_protocol(llama, config).confidence == found
    answer = asked("direct")
    assert answer.token_confidence == plain.token_confidence
    assert answer.confidence == pytest.approx(found.right(answer.token_confidence), abs=1e-4)
    assert answer.confidence != answer.token_confidence
    with_text = asked("search")
    assert with_text.confidence == with_text.token_confidence  # it was calibrated for another way
    other = replace(found, intercept=found.intercept + 1, way="search")
    replace(measured, confidence=replace(found, others=(other,))).save(folder)
    assert asked("direct").confidence == answer.confidence
    assert asked("search").confidence == pytest.approx(other.right(with_text.token_confidence), abs=1e-4)
    measured.save(folder)
    assert not (folder / CONFIDENCE).exists()


def test_the_report_says_it_in_one_line() -> None:
    found = Confidence.of(PLANTED, 2)
    assert found is not None
    assert confidence_line(found).startswith(
        "confidence of direct: calibrated on 100 probes after 2 passes, 36 % answered right; Brier score 0."
    )
    assert "not calibrated" in confidence_line(None)
    both = confidence_line(replace(found, others=(replace(found, way="search"),))).splitlines()
    assert [line.split(":")[0] for line in both] == ["confidence of direct", "confidence of search"]
