"""The dreamer: the asker's questions, the reader's answers, and of these the ones that the reader is sure of."""

from dataclasses import replace
from typing import Any

import pytest

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream import dreamer as dreamer_file
from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.dream.cue import goal_ids
from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.dream.voice import Said, Voice
from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.runtime.models.load import Base
from tests import tiny
from tests.dreaming import make_asker, understand

ALL = 1e9
"""Nats of doubt that nothing reaches."""


def make_chunk(text: str = tiny.STORY) -> Chunk:
    return Chunk(document="d", title="Orrin", index=0, start=0, end=len(text), text=text, num_tokens=len(text))


def make_dreamer(base: Base, *, seed: int = 0, **settings: Any) -> Dreamer:
    """Nothing doubted."""
    protocol, ledger, cost = tiny.make_ridge_protocol(base), Ledger(), CostModel.of(base.model)
    assert protocol.learned is not None
    config = DreamConfig(**({"most_doubt": ALL, "per_sentence": 1} | settings))
    asks, answers = (Voice(base.model, sites, ledger, cost, "dreams") for sites in (make_asker(protocol, scale=1.0), protocol.learned))
    return Dreamer(asks, answers, protocol, config, seed)


def questions(base: Base, **settings: Any) -> list[str]:
    """A tiny model never ends a line: what it says differs all the same, and so do the questions made of it."""
    return [asked.question for asked in make_dreamer(base, **settings).dream([make_chunk()])[0].dreamt]


def test_the_same_chunk_and_seed_give_the_same_dreams(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    understand(monkeypatch)
    chunk, other = make_chunk(), make_chunk("The mill of Sarn was built in 1790. Ines Vow ground rye there.")
    dreamer = make_dreamer(llama, per_sentence=3)
    first = dreamer.dream([chunk])[0]
    assert dreamer.dream([other])[0].dreamt != first.dreamt
    assert dreamer.dream([chunk])[0] == dreamer.dream([first])[0] == first, "whatever was dreamt before"
    assert make_dreamer(llama, per_sentence=3).dream([chunk])[0] == first
    assert replace(first, dreamt=()) == chunk


def test_what_is_dreamt_of_a_chunk_does_not_depend_on_others(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which some give nothing to ask about."""
    understand(monkeypatch)
    chunks = [make_chunk(text) for text in ("Orrin", tiny.STORY, "", "The mill of Sarn was built in 1790. Ines Vow ground rye there.")]
    dreamer = make_dreamer(llama, per_sentence=3)
    assert dreamer.dream(chunks) == [dreamer.dream([chunk])[0] for chunk in chunks]
    assert [bool(chunk.dreamt) for chunk in dreamer.dream(chunks)] == [False, True, False, True]


def test_the_seed_and_the_temperature_change_what_is_drawn_alone(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    understand(monkeypatch)
    likeliest = questions(llama)
    straight, other, hot = (questions(llama, per_sentence=2, **s) for s in ({}, {"seed": 1}, {"temperature": 5.0}))
    assert questions(llama, seed=1) == likeliest
    assert set(likeliest) <= set(straight) & set(other) & set(hot)
    assert len({tuple(straight), tuple(other), tuple(hot)}) == 3


@pytest.mark.parametrize("text", ["Orrin", "", "\n", "No, no!"])
def test_where_nothing_can_be_asked_nothing_is_computed(llama: Base, text: str) -> None:
    dreamer, chunk = make_dreamer(llama), make_chunk(text)
    assert dreamer.dream([chunk]) == [chunk]
    assert dreamer.asker.ledger.fet == {}


def test_what_is_not_understood_is_left_out(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model says no question; and had it asked some, it would say nothing that is in the text."""
    assert make_dreamer(llama).dream([make_chunk()])[0].dreamt == ()
    understand(monkeypatch)
    monkeypatch.setattr(dreamer_file, "answer_said", lambda prompts, ids, text: None)
    assert make_dreamer(llama).dream([make_chunk()])[0].dreamt == ()


def says(monkeypatch: pytest.MonkeyPatch, voice: Voice, said: list[Said]) -> list[tuple[Any, ...]]:
    """Let a voice say this; gives what it was asked."""
    heard: list[tuple[Any, ...]] = []

    def say(*asked: Any) -> list[list[Said]]:
        heard.append(asked)
        return [said]

    monkeypatch.setattr(voice, "say", say)
    return heard


def asked_of(protocol: Protocol, *pairs: tuple[str, str, float]) -> tuple[list[Said], list[Said]]:
    """What an asker and a reader say who ask and answer this, each answer with so many nats in all."""
    asks = [Said(goal_ids(protocol, QuestionAnswer(question, answer))) for question, answer, _ in pairs]
    return asks, [Said(protocol.answer_ids(answer), nats) for _, answer, nats in pairs]


def test_what_was_said_is_read_back_with_its_chunk(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real ears: each question once, answered with the text in the prompt, and kept where the answer stands there."""
    dreamer = make_dreamer(llama)
    protocol = tiny.make_ridge_protocol(llama)
    asks, _ = asked_of(protocol, ("Who sailed?", "", 0), ("who SAILED?", "", 0), ("Who came?", "", 0), ("What froze?", "", 0))
    _, answers = asked_of(protocol, ("", "Aldo", 0), ("", "Bertha", 0), ("", "harbour", 0))
    says(monkeypatch, dreamer.asker, asks)
    heard = says(monkeypatch, dreamer.reader, answers)
    assert dreamer.dream([make_chunk()])[0].dreamt == (QuestionAnswer("Who sailed?", "Aldo"), QuestionAnswer("What froze?", "harbour"))
    (((prefix,), (prompts,), _),) = heard
    whole = [protocol.question_ids(q, protocol.plain_ids(tiny.STORY.strip() + "\n\n")) for q in ("Who sailed?", "Who came?", "What froze?")]
    assert [list(prefix) + list(prompt) for prompt in prompts] == whole


def test_what_the_reader_is_not_sure_of_is_left_out(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the mean over the answer's tokens and its end: a byte is a token here, and a space stands before it."""
    dreamer = make_dreamer(llama, most_doubt=0.5)
    asks, answers = asked_of(
        tiny.make_ridge_protocol(llama), ("Who sailed?", "Aldo", 3.0), ("Who?", "Maren", 3.6), ("What froze?", "harbour", 4.0)
    )
    says(monkeypatch, dreamer.asker, asks)
    says(monkeypatch, dreamer.reader, answers)
    assert [a.answer for a in dreamer.dream([make_chunk()])[0].dreamt] == ["Aldo", "harbour"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"per_sentence": -1}, "per_sentence: got -1, expected 0 to 16 questions"),
        ({"per_sentence": 17}, "per_sentence: got 17, expected 0 to 16 questions"),
        ({"temperature": 0.0}, "temperature: got 0, expected more than 0, and at most 10"),
        ({"temperature": float("nan")}, "temperature: got nan, expected more than 0, and at most 10"),
        ({"most_doubt": -0.1}, "most_doubt: got -0.1, expected 0 or more nats per token"),
        ({"most_doubt": float("nan")}, "most_doubt: got nan, expected 0 or more nats per token"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        DreamConfig(**settings)
