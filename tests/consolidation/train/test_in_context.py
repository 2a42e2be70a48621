"""Questions packed behind their passage: the losses are those of one prompt a question, and what is asked of another passage is told."""

import random

import pytest
import torch

from nrem.consolidation.train.data import NOT_STATED
from nrem.consolidation.train.in_context import PackedQuestions, contrast
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import Base
from tests.benches import PASSAGES
from tests.consolidation.train.test_trainer import random_bench


@torch.no_grad()
def test_losses_are_those_of_one_prompt_a_question(base: Base) -> None:
    bench = random_bench(base, rule="ridge")
    asked = [p.given for p in PASSAGES[:4]]
    packed = PackedQuestions.of(bench.protocol, PASSAGES[:4], asked, bench.device)
    flat = [q for questions in asked for q in questions]
    contexts = [p for p, questions in zip(PASSAGES[:4], asked, strict=True) for _ in questions]
    for fast in (None, bench.write([PASSAGES[:2], PASSAGES[2:4]], 1)):
        expected = bench.answer_nll(flat, fast, contexts)
        torch.testing.assert_close(packed.nll(bench.split, bench.parameters, fast), expected, atol=1e-4, rtol=1e-4)


def test_gradients_reach_readers_below_the_cut(base: Base) -> None:
    bench = random_bench(base, rule="ridge")
    bench.parameters.requires_grad_(True)
    packed = PackedQuestions.of(bench.protocol, PASSAGES[:1], [PASSAGES[0].given], bench.device)
    packed.nll(bench.split, bench.parameters, None).mean().backward()
    for name, site in bench.parameters.everywhere():
        assert site.reader_B.grad is not None, name
        assert float(site.reader_B.grad.norm()) > 0, name


@pytest.mark.parametrize("known", [False, True])
def test_a_question_about_another_passage(known: bool) -> None:
    passages = PASSAGES[:4]
    asked = [list(p.given) for p in passages]
    changed = contrast(random.Random(0), passages, asked, 1.0, among=2, known=known)
    moved = [(i, q) for i, questions in enumerate(changed) for q in questions if q not in asked[i]]
    assert moved, "a share of 1 changes what it can"
    for i, q in moved:
        neighbour = asked[i ^ 1]
        if known:
            assert q in neighbour
            assert q.answer.lower() not in passages[i].text.lower()
        else:
            assert q.answer == NOT_STATED
            assert q.question in [n.question for n in neighbour]
    assert asked == [list(p.given) for p in passages], "what was asked stays as it was"
    assert contrast(random.Random(0), passages, asked, 0.0, among=2, known=known) == asked
    assert all(isinstance(q, QuestionAnswer) for questions in changed for q in questions)
