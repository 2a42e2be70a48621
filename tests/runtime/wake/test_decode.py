"""Answers: batches, a reused text and left padding say what one question by itself says; every answer has its price."""

from typing import Any

import pytest
import torch

from nrem.consolidation.budget import CostModel
from nrem.consolidation.protocol.protocol import Protocol
from nrem.memory.errors import UsageError
from nrem.runtime.models.load import Base
from nrem.runtime.wake import decode as answer_module
from nrem.runtime.wake.config import AnswerConfig
from nrem.runtime.wake.decode import Answerer
from tests import tiny

QUESTIONS = ["Who?", "When did the harbour of Wexley freeze over?", "How many men walked home?"]


def make_answerer(base: Base, **values: Any) -> Answerer:
    return Answerer(base, Protocol(base.tokenizer), AnswerConfig(**{"max_new_tokens": 6, **values}))


@torch.no_grad()
def greedy(base: Base, prompt: list[int], steps: int, stops: list[int]) -> list[int]:
    """One token after the other, without a cache."""
    out: list[int] = []
    while len(out) < steps:
        token = int(base.model(input_ids=torch.tensor([[*prompt, *out]]), use_cache=False).logits[0, -1].argmax())
        if token in stops:
            break
        out.append(token)
    return out


def stop_after(base: Base, prompt: list[int], tokens: list[int], steps: int) -> list[int]:
    """The token that ended the answer, where there was room for one."""
    if len(tokens) == steps:
        return []
    return [int(base.model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0, -1].argmax())]


@torch.no_grad()
def likelihood(base: Base, prompt: list[int], tokens: list[int]) -> float:
    """Geometric mean of the tokens' probabilities."""
    logits = base.model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return float(torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(tokens)[:, None]).mean().exp())


@pytest.mark.parametrize("context", ["", tiny.STORY[:150]], ids=["closed book", "text"])
def test_an_answer_is_greedy_decoding_of_its_prompt(base: Base, context: str) -> None:
    answerer, protocol = make_answerer(base), Protocol(base.tokenizer)
    fitted = protocol.plain_ids(context.strip() + "\n\n") if context else []
    for question in QUESTIONS:
        answer = answerer.ask(question, context)
        prompt = protocol.question_ids(question, fitted)
        tokens = greedy(base, prompt, 6, protocol.stop_ids)
        assert answer.answer == base.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        assert (answer.question, answer.prompt_tokens, answer.answer_tokens) == (question, len(prompt), len(tokens))
        assert answer.document_tokens == len(fitted)
        assert answer.confidence == pytest.approx(likelihood(base, prompt, [*tokens, *stop_after(base, prompt, tokens, 6)]), abs=1e-3)


@pytest.mark.parametrize("short", [0, 10_000], ids=["over one reading", "in a batch"])
@pytest.mark.parametrize("context", ["", tiny.STORY[:150]], ids=["closed book", "text"])
def test_many_questions_get_what_each_gets_alone(base: Base, context: str, short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "SHORT_TEXT", short)
    together = make_answerer(base, batch_size=2).ask_all(QUESTIONS, context)
    alone = [make_answerer(base).ask(question, context) for question in QUESTIONS]
    assert [a.answer for a in together] == [a.answer for a in alone]
    assert [(a.prompt_tokens, a.document_tokens, a.fet) for a in together] == [(a.prompt_tokens, a.document_tokens, a.fet) for a in alone]


@torch.no_grad()
@pytest.mark.parametrize("context", ["", tiny.STORY[:150]], ids=["closed book", "text"])
def test_the_nll_of_an_answer_is_the_models(base: Base, context: str) -> None:
    protocol = Protocol(base.tokenizer)
    fitted = protocol.plain_ids(context.strip() + "\n\n") if context else []
    pairs = [(question, "Maren" * (i + 1)) for i, question in enumerate(QUESTIONS)]
    for (question, answer), nll in zip(pairs, make_answerer(base).nlls(pairs, context), strict=True):
        prompt, ids = protocol.question_ids(question, fitted), protocol.answer_ids(answer)
        logits = base.model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, -len(ids) - 1 : -1]
        assert nll == pytest.approx(float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids))), rel=1e-4)


def test_a_closed_book_question_costs_the_same_whatever_was_read(llama: Base) -> None:
    answer = make_answerer(llama).ask("Who?")
    cost, tokens = CostModel.of(llama.model), answer.prompt_tokens
    least = cost.forward(tokens, tokens / 2, head_tokens=1)
    assert answer.document_tokens == 0
    assert least < answer.fet < least + 3 * cost.forward(7, tokens)


def test_a_text_that_is_too_long_loses_its_middle(llama: Base) -> None:
    words = " ".join(f"word{i}" for i in range(1000))
    answer = make_answerer(llama).ask("Who?", words)
    room = max(round(answer_module.ASKED * llama.max_positions), len(Protocol(llama.tokenizer).question_ids("Who?")) + answer_module.WORDS)
    assert answer.document_tokens == llama.max_positions - room - 6
    assert answer.prompt_tokens < llama.max_positions


def test_a_long_question_leaves_a_long_text_less_room(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole prompt and an answer fit into what the model can read, a thought too."""
    answerer, question = make_answerer(llama), "Who kept the light on Orrin? " * 30
    room = len(answerer.protocol.question_ids(question)) + 120
    monkeypatch.setattr(Base, "max_positions", property(lambda base: room))
    for context in (tiny.STORY, [tiny.STORY]):
        [answer] = answerer.ask_all([question], context)
        assert answer.prompt_tokens + answerer.config.max_new_tokens <= answerer.base.max_positions
        assert answer.document_tokens > 0
    [thought] = answerer.think([question], [tiny.STORY], 40)
    [answer] = answerer.ask_all([question], [tiny.STORY], [thought])
    assert answer.prompt_tokens + answer.thought_tokens + answerer.config.max_new_tokens <= answerer.base.max_positions
    monkeypatch.setattr(Base, "max_positions", property(lambda base: 100))
    assert answerer.ask(question, tiny.STORY).document_tokens == 0


def test_the_reading_of_a_text_that_all_share_is_in_the_seconds_of_each(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "SHORT_TEXT", 1)
    answerer = make_answerer(llama)
    answers = answerer.ask_all(QUESTIONS, tiny.STORY)
    read = answerer._generator._read
    assert read is not None
    assert read[2] > 0
    assert all(answer.seconds > read[2] for answer in answers)


def test_a_config_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match=r"answer\.max_new_tokens: got 0, expected 1 or more"):
        AnswerConfig(max_new_tokens=0)
