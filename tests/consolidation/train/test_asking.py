"""What an asker learns from: its loss is that of one row a cue, and cues are made of the questions that could be dreamt."""

import random

import pytest
import torch
import torch.nn.functional as F

from nrem.consolidation.dream.asker import Asker
from nrem.consolidation.dream.cue import LONGEST_ANSWER, LONGEST_QUESTION, answer_said, cue_ids, goal_ids, question_said, text_ids
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.asker_trainer import AskerConfig
from nrem.consolidation.train.asking import CuedText, PackedCues, asked_about, mean_nll, token_nll
from nrem.consolidation.train.data import Passage, PassageFile
from nrem.consolidation.write.lend import lent
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import Base
from tests import tiny
from tests.benches import PASSAGES
from tests.dreaming import make_asker

LONGER = Passage(
    "Orrin",
    tiny.STORY[:230],
    (QuestionAnswer("Who kept the lighthouse?", "Maren Tull"), QuestionAnswer("Who sailed the boat?", "her brother Aldo")),
)
TEXTS = [CuedText.of(passage) for passage in (PASSAGES[0], LONGER, PASSAGES[5])]


@torch.no_grad()
def nll_of_one_row(base: Base, protocol: Protocol, asker: Asker, text: str, sentence: str, asked: QuestionAnswer) -> torch.Tensor:
    """By the model itself, with nothing else in the row."""
    prompt, goal = text_ids(protocol, text) + cue_ids(protocol, sentence), goal_ids(protocol, asked)
    with lent(base.model, asker, None):
        logits = base.model(input_ids=torch.tensor([prompt + goal]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    return F.cross_entropy(logits.float(), torch.tensor(goal), reduction="none")


def test_the_loss_is_that_of_one_row_a_cue(base: Base) -> None:
    protocol = tiny.make_protocol(base, "ridge")
    asker = make_asker(protocol)
    split = SplitModel(base.model, 0)
    alone = [nll_of_one_row(base, protocol, asker, t.text, *cue) for t in TEXTS for cue in t.cues]
    packed = PackedCues.of(protocol, TEXTS, base.model.device)
    with torch.no_grad():
        torch.testing.assert_close(token_nll(split, protocol, asker, TEXTS), torch.cat(alone), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(packed.nll(split, asker, None), torch.stack([a.mean() for a in alone]), atol=1e-4, rtol=1e-4)
    for together in (1, 2, 6):
        assert mean_nll(split, protocol, asker, TEXTS, together) == pytest.approx(float(torch.cat(alone).mean()), rel=1e-4)
    token_nll(split, protocol, asker, TEXTS).mean().backward()
    assert all(p.grad is not None and float(p.grad.norm()) > 0 for p in asker.parameters())


def test_cues_are_the_questions_that_could_be_dreamt(llama: Base) -> None:
    text = "Maren kept the lamp of Orrin.\n\nAldo sailed the boat to Wexley."
    good = QuestionAnswer("Who sailed?", "aldo")
    hopeless = [
        QuestionAnswer("Who?", "Bertram"),
        QuestionAnswer("What?", "Orrin. Aldo"),
        QuestionAnswer("Who\nsailed?", "Aldo"),
        QuestionAnswer(" ", "Aldo"),
        QuestionAnswer("Who?", ""),
        QuestionAnswer("Who sails? " * LONGEST_QUESTION, "Aldo"),
        QuestionAnswer("Who?", "Aldo " * LONGEST_ANSWER),
    ]
    [(sentence, asked)] = CuedText.of(Passage("", text, (*hopeless, good))).cues
    assert (sentence, asked) == ("Aldo sailed the boat to Wexley.", good)
    protocol = tiny.make_protocol(llama, "ridge")
    assert question_said(protocol, goal_ids(protocol, asked)) == asked.question, "what is learned is what is understood"
    assert answer_said(protocol, protocol.answer_ids(asked.answer), text) == asked.answer


def test_some_of_the_cues() -> None:
    text = TEXTS[1]
    assert text.some(9) == text
    assert text.some(1).cues == text.cues[:1]
    drawn = {text.some(1, random.Random(seed)).cues for seed in range(20)}
    assert drawn == {(cue,) for cue in text.cues}


def test_what_nobody_asked_about_is_left_out() -> None:
    plain = Passage("", "Nobody asked about this.", ())
    mixed = PassageFile("mixed", ((PASSAGES[0], plain), (plain,)))
    assert asked_about([PassageFile("plain", ((plain,),)), mixed]) == [PassageFile("mixed", ((PASSAGES[0],),))]


@pytest.mark.parametrize("key", ["rank", "texts_per_step", "cues_per_text", "max_chunk_tokens"])
def test_a_config_without_anything_to_do_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match=f"{key}: got 0, expected 1 or more"):
        AskerConfig(**{key: 0})
    with pytest.raises(UsageError, match="step_size: got 0, expected a number above 0"):
        AskerConfig(step_size=0.0)
