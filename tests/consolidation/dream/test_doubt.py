"""Doubt is the NLL of an answer behind the whole prompt, the text in it, as the protocol's reader finds it."""

import pytest
import torch
import torch.nn.functional as F

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream import doubt as doubt_file
from nrem.consolidation.dream.doubt import Doubt
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.lend import lent
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import Base
from tests import tiny

ASKED = (
    QuestionAnswer("Who sailed the supply boat from Wexley?", "Her brother Aldo"),
    QuestionAnswer("When?", "12 January 1858"),
    QuestionAnswer("What was paid for <s> a new one?", "340 crowns"),
    QuestionAnswer("Who?", "X"),
    QuestionAnswer("When?", "1871"),
)


def make_doubt(base: Base) -> tuple[Doubt, Protocol]:
    protocol = tiny.make_ridge_protocol(base)
    assert protocol.learned is not None
    return Doubt(base.model, protocol.learned, protocol, Ledger(), CostModel.of(base.model)), protocol


@torch.no_grad()
def nll_of_one_row(base: Base, protocol: Protocol, text: str, asked: QuestionAnswer) -> float:
    """By the model with the reader attached, and nothing else in the row."""
    prompt = protocol.question_ids(asked.question, protocol.plain_ids(text.strip() + "\n\n"))
    goal = protocol.answer_ids(asked.answer)
    assert protocol.learned is not None
    with lent(base.model, protocol.learned, None):
        logits = base.model(input_ids=torch.tensor([prompt + goal]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return float(F.cross_entropy(logits.float(), torch.tensor(goal)))


@pytest.mark.parametrize(
    "text", [tiny.STORY, tiny.STORY + "\n\n" + tiny.STORY, "Orrin", "\n"], ids=["a chunk", "beyond a window", "a word", "blank"]
)
def test_it_is_the_loss_behind_the_whole_prompt(base: Base, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever batches, and also where the text is longer than a window that slides."""
    doubt, protocol = make_doubt(base)
    expected = [nll_of_one_row(base, protocol, text, asked) for asked in ASKED]
    assert doubt.of(text, ASKED) == pytest.approx(expected, abs=2e-3, rel=1e-3)
    assert doubt.of(text, ASKED[::-1]) == pytest.approx(expected[::-1], abs=2e-3, rel=1e-3)
    monkeypatch.setattr(doubt_file, "BATCH_TOKENS", 40)
    assert doubt.of(text, ASKED) == pytest.approx(expected, abs=2e-3, rel=1e-3)
    assert max(expected) - min(expected) > 0.1


def test_the_reader_and_the_text_have_their_say(llama: Base) -> None:
    doubt, _ = make_doubt(llama)
    with_text, without = doubt.of(tiny.STORY, ASKED), doubt.of("", ASKED)
    assert with_text != pytest.approx(without, abs=1e-3)
    bare, _ = make_doubt(llama)
    for _, site in bare.reader.everywhere():
        site.reader_B.zero_()
    assert bare.of(tiny.STORY, ASKED) != pytest.approx(with_text, abs=1e-3)
    assert not any(module._forward_hooks for module in llama.model.modules())


def test_of_nothing_there_is_no_doubt(llama: Base) -> None:
    doubt, _ = make_doubt(llama)
    assert doubt.of(tiny.STORY, []) == []
    assert doubt.ledger.fet == {}
