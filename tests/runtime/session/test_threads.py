"""Threads that share a base model take turns: what each of them gets is what it would have got alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from nrem.memory.memory import Memory
from nrem.memory.weights.turns import turn
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from nrem.runtime.wake.wake import Wake
from tests import tiny

TEXTS = (tiny.STORY, tiny.STORY.replace("Orrin", "Skerry"), tiny.STORY.replace("lighthouse", "windmill"), tiny.STORY[:400])


def sleep_on(base: Base, text: str) -> Memory:
    config = tiny.make_config("sleep.passes=1", "protocol.name=unlearned")
    return consolidate(Document.from_text(text), base=base, config=config)


def together(work: list[Callable[[], object]]) -> list[object]:
    """In a thread each, all of which begin at once."""
    start = threading.Barrier(len(work))

    def begin(one: Callable[[], object]) -> object:
        start.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


def test_sleeps_in_threads_write_what_each_writes_alone(llama: Base) -> None:
    alone = [sleep_on(llama, text) for text in TEXTS]
    found = together([lambda text=text: sleep_on(llama, text) for text in TEXTS])  # type: ignore[misc]
    for one, other in zip(alone, found, strict=True):
        assert isinstance(other, Memory)
        assert [c.surprisal for c in one.record.chunks] == [c.surprisal for c in other.record.chunks]
        assert all(torch.equal(t, other.weights.tensors()[key]) for key, t in one.weights.tensors().items())


def test_questions_in_threads_queue(llama: Base) -> None:
    memories = [sleep_on(llama, text) for text in TEXTS[:2]]
    sessions = [Session(memory, base=llama) for memory in memories]
    questions = [f"Who kept the {name}?" for name in ("Orrin lighthouse", "windmill", "boat", "harbour")]
    alone = [sessions[n % 2].answer(q).answer for n, q in enumerate(questions)]
    asked = [lambda n=n, q=q: sessions[n % 2].answer(q).answer for n, q in enumerate(questions)]
    assert together([*asked]) == alone
    wake = Wake(llama, sessions[0].config, sessions[0].protocol, memories[0])
    pairs = [(q, "Maren Tull") for q in questions]
    assert together([lambda pair=pair: wake.nlls([pair])[0] for pair in pairs]) == [wake.nlls([pair])[0] for pair in pairs]  # type: ignore[misc]


def test_whoever_has_a_turn_may_take_it_again_and_others_wait(llama: Base) -> None:
    memory = sleep_on(llama, TEXTS[3])
    reached = threading.Event()

    def ask() -> None:
        Wake.open(memory, llama).answer("Who?")
        reached.set()

    other = threading.Thread(target=ask)
    with turn(llama.model), memory.attached(llama.model):
        other.start()
        assert not reached.wait(0.3)
    other.join(60)
    assert reached.is_set()
