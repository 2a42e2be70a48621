"""`ensemble`: text and adapter as two witnesses. Against a loop that knows no cache, no batch and no hooks that fall silent."""

import pytest
import torch
from torch import Tensor

from nrem.memory.memory import EVERYTHING, Memory
from nrem.memory.saved.fingerprint import weights_sha256
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.ensemble import Ensemble
from nrem.runtime.wake.wake import Wake
from nrem.runtime.wake.ways import parse_way
from tests import tiny

QUESTIONS = ["Who kept the lighthouse?", "How many litres of oil were there on that night?", "xyzzy"]


@pytest.fixture(scope="module")
def memory(base: Base) -> Memory:
    config = tiny.make_config("sleep.passes=2", "study.step_size=3e-2", "guard.enabled=false")
    return Session(base=base, config=config).stream(Document.from_text("# Orrin\n\n" + tiny.STORY, "story", "Orrin"))


@pytest.fixture
def wake(base: Base, memory: Memory) -> Wake:
    return Wake.open(memory, base)


def logits(wake: Wake, prompt: list[int]) -> Tensor:
    """Of the next token, in float64."""
    with torch.no_grad():
        out: Tensor = wake.base.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    return torch.log_softmax(out.double(), -1)


def together(wake: Wake, question: str, said: list[int]) -> Tensor:
    """Log-probabilities of the token behind what was said, everything read anew."""
    protocol, model, text = wake.protocol, wake.base.model, wake.memory.text
    assert text is not None
    chunks = "\n\n".join(chunk.text.strip() for chunk in parse_way("read").chunks(text, question))
    alone = protocol.question_ids(question) + said
    beside = protocol.question_ids(question, context_ids=protocol.plain_ids(f"{chunks}\n\n") if chunks else []) + said
    with wake.nothing_written.attached(model):
        read, guessed = logits(wake, beside), logits(wake, alone)
    with wake.memory.attached(model, EVERYTHING):
        searched, expert = logits(wake, beside), logits(wake, alone)
    share, weight = Ensemble.say
    return torch.log_softmax((1 - share) * read + share * searched + weight * (expert - guessed), -1) if chunks else expert


def test_it_says_what_text_and_adapter_say_together(wake: Wake) -> None:
    for question, answer in zip(QUESTIONS, wake.answers(QUESTIONS, "ensemble"), strict=True):
        said, log_p = list[int](), list[float]()
        while len(said) < wake.config.answer.max_new_tokens:
            after = together(wake, question, said)
            token = int(after.argmax())
            log_p.append(float(after[token]))
            if token in wake.protocol.stop_ids:
                break
            said.append(token)
        assert answer.answer == wake.base.tokenizer.decode(said, skip_special_tokens=True).strip()
        assert answer.answer_tokens == len(said)
        assert answer.token_confidence == pytest.approx(float(torch.tensor(log_p).mean().exp()), abs=2e-3)
        assert answer.way == "ensemble"


def test_a_given_answer_is_as_likely_as_both_make_it(wake: Wake) -> None:
    pairs = [(question, given) for question in QUESTIONS for given in ("Tobias Wren", "nine")]
    for (question, given), nll in zip(pairs, wake.nlls(pairs, "ensemble"), strict=True):
        ids, said, expected = wake.protocol.answer_ids(given), list[int](), list[float]()
        for token in ids:
            expected.append(-float(together(wake, question, said)[token]))
            said.append(token)
        assert nll == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_without_a_text_it_is_the_adapter_alone(wake: Wake) -> None:
    nothing = "xyzzy"
    direct, ensemble = (wake.answer(nothing, way) for way in ("direct", "ensemble"))
    assert (ensemble.answer, ensemble.leans_on) == (direct.answer, ())
    assert ensemble.token_confidence == pytest.approx(direct.token_confidence, abs=2e-4)


def test_it_costs_what_is_read_and_asked_twice(wake: Wake) -> None:
    read, ensemble = (wake.answer(QUESTIONS[0], way) for way in ("read", "ensemble"))
    cost, length = wake.answerer.cost, len(wake.protocol.question_ids(QUESTIONS[0]))

    def price(prompt: int, said: int) -> float:
        return cost.forward(prompt, prompt / 2, head_tokens=1) + cost.forward(said, prompt + said / 2)

    said = max(ensemble.answer_tokens, 1)
    assert ensemble.fet == pytest.approx(2 * price(ensemble.prompt_tokens, said) + 2 * price(length, said), abs=0.1)
    assert (ensemble.prompt_tokens, ensemble.leans_on) == (read.prompt_tokens, read.leans_on)


def test_nothing_stays_attached_or_silent(wake: Wake) -> None:
    before = wake.nlls([(QUESTIONS[0], "Tobias Wren")], "direct"), wake.nlls([(QUESTIONS[0], "Tobias Wren")], "read")
    wake.answer(QUESTIONS[0], "ensemble")
    wake.nlls([(QUESTIONS[0], "Tobias Wren")], "ensemble")
    assert before == (wake.nlls([(QUESTIONS[0], "Tobias Wren")], "direct"), wake.nlls([(QUESTIONS[0], "Tobias Wren")], "read"))
    assert not any(module._forward_hooks for module in wake.base.model.modules())
    assert weights_sha256(wake.base.model, fresh=True) == wake.memory.record.base.weights_sha256


def test_weights_speak_again_within_a_silence(base: Base, memory: Memory) -> None:
    ids = torch.tensor([[1, 2, 3]])

    def now() -> Tensor:
        with torch.no_grad():
            out: Tensor = base.model(input_ids=ids).logits
        return out

    plain = now()
    with memory.lent(base.model) as weights:
        loud = now()
        with weights.silenced():
            assert torch.equal(now(), plain)
            with weights.silenced(False):
                assert torch.equal(now(), loud)
            assert torch.equal(now(), plain)
        assert torch.equal(now(), loud)
    assert not torch.equal(loud, plain)
