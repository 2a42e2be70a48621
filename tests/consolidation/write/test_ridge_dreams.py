"""Passes read what was dreamt about chunks: by definition, as training does, at the price that was told, and to the same weights again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.consolidation.write import ridge as ridge_file
from nrem.consolidation.write import ridge_site
from nrem.consolidation.write.ridge import RidgeRule
from nrem.consolidation.write.ridge_site import dense
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny

DREAMT = (
    (QuestionAnswer("Who kept the lighthouse?", "Maren Tull"), QuestionAnswer("What burned a night?", "60 litres")),
    (),
    (QuestionAnswer("Who sailed the supply boat to the lighthouse?", "Aldo"),),
    (QuestionAnswer("When did it freeze?", "12 January 1858"),) * 3,
    (QuestionAnswer("Who?", "Frost"),),
)


@pytest.fixture
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In which all that is read is solved for: by sums over tokens, or by pairs of tokens."""
    monkeypatch.setattr(ridge_site, "WIDEST", {"primal": 10_000, "dual": 0}[request.param])
    return str(request.param)


both_forms = pytest.mark.parametrize("form", ["primal", "dual"], indirect=True)


def make_chunks(base: Base) -> list[Chunk]:
    """Some with several dreams, one with none."""
    chunks = tiny.make_chunks(base)
    assert len(chunks) == len(DREAMT)
    return [replace(chunk, dreamt=dreamt) for chunk, dreamt in zip(chunks, DREAMT, strict=True)]


def make_night(base: Base, ledger: Ledger | None = None) -> tuple[Sleeper, RidgeRule]:
    protocol, config = tiny.make_ridge_protocol(base), tiny.make_config()
    sleeper = make_sleeper(base, config, protocol, make_fast_weights(base, config, protocol), ledger or Ledger(), ignore)
    assert isinstance(sleeper.rule, RidgeRule)
    return sleeper, sleeper.rule


def written(base: Base, chunks: Sequence[Chunk], passes: int) -> dict[str, torch.Tensor]:
    """What so many passes over these chunks leave, uncut."""
    sleeper, rule = make_night(base)
    with sleeper.fast.attached(base.model):
        rule.begin(chunks, [])
        for _ in range(passes):
            rule.write([chunk.index for chunk in chunks])
    return dict(rule._changes)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 1e-3) -> bool:
    return a.keys() == b.keys() and all(float((a[name] - b[name]).norm()) < tolerance * float(b[name].norm()) for name in b)


def passages_of(chunks: Sequence[Chunk]) -> list[Passage]:
    return [Passage(chunk.title, chunk.text, (), chunk.dreamt) for chunk in chunks]


@both_forms
@torch.no_grad()
def test_a_sleep_writes_what_training_writes(base: Base, form: str) -> None:
    """A pass of a sleep and one of protocol training are two programs for one formula."""
    chunks, (sleeper, rule) = make_chunks(base), make_night(base)
    bench = Bench(sleeper.split, tiny.make_ridge_protocol(base), rule.parameters)
    for passes in (1, 2):
        trained = bench.write([passages_of(chunks)], passes)
        assert trained is not None
        expected = {name: dense(change)[0] for name, change in trained.items()}
        assert same(written(base, chunks, passes), expected)
        assert not same(written(base, [replace(c, dreamt=()) for c in chunks], passes), expected, 0.01), "dreams are written"


@both_forms
@torch.no_grad()
def test_memories_of_a_batch_have_dreams_of_their_own(base: Base, form: str) -> None:
    """As many rows each: where there are fewer dreams, or none at all, empty ones stand in and write nothing."""
    passages, (sleeper, rule) = passages_of(make_chunks(base)), make_night(base)
    bench = Bench(sleeper.split, tiny.make_ridge_protocol(base), rule.parameters)
    groups = [passages[:1], passages[1:2], passages[3:4]]
    together = bench.write(groups, 2)
    assert together is not None
    for number, group in enumerate(groups):
        alone = bench.write([group], 2)
        assert alone is not None
        assert same({n: dense(c)[number] for n, c in together.items()}, {n: dense(c)[0] for n, c in alone.items()})


@torch.no_grad()
def test_gradients_of_training_go_through_dreams(base: Base) -> None:
    sleeper, rule = make_night(base)
    rule.parameters.requires_grad_(True)
    bench = Bench(sleeper.split, tiny.make_ridge_protocol(base), rule.parameters)

    def gradients(passages: Sequence[Passage]) -> list[torch.Tensor]:
        with torch.enable_grad():
            changes = bench.write([passages], 2)
            assert changes is not None
            total = sum(dense(change).square().sum() for change in changes.values())
            wanted = [p for _, site in rule.parameters.items() for p in (site.W2, *site.asked.parameters())]
            return list(torch.autograd.grad(total, wanted, materialize_grads=True, allow_unused=True))  # type: ignore[arg-type]

    passages = passages_of(make_chunks(base)[:1])
    assert all(
        not torch.allclose(a, b, rtol=0.01)
        for a, b in zip(gradients(passages), gradients([replace(p, dreamt=()) for p in passages]), strict=True)
    )


def test_only_answers_are_written(base: Base) -> None:
    chunks, (_, rule) = make_chunks(base), make_night(base)
    rule.begin(chunks, [])
    dreams, prompts = rule._dreams, rule._dreams.prompts
    about = dreams.about([0, 1, 2, 3, 4])
    assert about == [(chunk.index, number) for chunk in chunks for number in range(len(chunk.dreamt))]
    assert dreams.about([1]) == []
    assert dreams.about([3, 0]) == [(0, 0), (0, 1), (3, 0), (3, 1), (3, 2)]
    seen = []
    for group in dreams.groups(about):
        texts = dreams.texts(group)
        for (index, number), ids, strength, mask in zip(group, texts.ids, texts.strength, texts.mask, strict=True):
            question, answer = chunks[index].dreamt[number]
            goal = prompts.answer_ids(answer)
            assert ids[mask.bool()].tolist() == prompts.question_ids(question) + goal
            places = strength.nonzero()[:, 0]
            assert ids[places + 1].tolist() == goal, "each token before one of the answer, its end included"
            assert set(strength.tolist()) == {0.0, 1.0}
            seen.append((index, number))
        assert dreams.written(group) == int((texts.strength > 0).sum())
    assert sorted(seen) == about
    rule.end()
    assert dreams.about([0, 1, 2, 3, 4]) == []


def test_a_report_counts_dreams_and_has_the_loss_of_texts_alone(llama: Base) -> None:
    chunks = make_chunks(llama)
    reports = []
    for given in (chunks, [replace(chunk, dreamt=()) for chunk in chunks]):
        sleeper, rule = make_night(llama)
        with sleeper.fast.attached(llama.model):
            rule.begin(given, [])
            reports.append(rule.write([0, 1, 2, 3, 4]))
    dreaming, plain = reports
    assert dreaming.loss == pytest.approx(plain.loss, rel=1e-4)
    assert dreaming.tokens > plain.tokens


@both_forms
def test_the_price_is_known_before_the_pass(base: Base, form: str) -> None:
    ledger = Ledger()
    chunks, (sleeper, rule) = make_chunks(base), make_night(base, ledger)
    rounds = ([0, 1, 2, 3, 4], [0, 2, 3], [3])
    with sleeper.fast.attached(base.model):
        rule.begin(chunks[1:], chunks[:1])
        for active in rounds:
            spent, bound = ledger.total_fet, rule.next_pass_fet(active)
            rule.write(active)
            assert 0 < ledger.total_fet - spent <= bound * (1 + 1e-9)
        plain = make_night(base)[1]
        plain.begin([replace(chunk, dreamt=()) for chunk in chunks], [])
        assert plain.next_pass_fet([0, 1, 2, 3, 4]) < make_priced(base, chunks)
        state = rule.state()
        revived = make_night(base, ledger)[1]
        revived.begin(chunks[1:], chunks[:1])
        revived.restore(state)
        spent, bound = ledger.total_fet, revived.next_pass_fet([3])
        revived.write([3])
        revived.complete()
        assert 0 < ledger.total_fet - spent <= bound * (1 + 1e-9), "what passes need that were made before the sleep was cut off"


def make_priced(base: Base, chunks: Sequence[Chunk]) -> float:
    rule = make_night(base)[1]
    rule.begin(chunks, [])
    return rule.next_pass_fet([chunk.index for chunk in chunks])


def test_a_chunk_alone_costs_more_with_its_dreams(llama: Base) -> None:
    chunk, (_, rule) = make_chunks(llama)[0], make_night(llama)
    assert rule.price(chunk) > rule.price(replace(chunk, dreamt=chunk.dreamt[:1])) > rule.price(replace(chunk, dreamt=()))


def test_a_killed_sleep_with_dreams_goes_on_to_the_same_weights(base: Base) -> None:
    chunks = make_chunks(base)

    def passes(sleeper: Sleeper, rule: RidgeRule, rounds: Sequence[Sequence[int]]) -> None:
        with sleeper.fast.attached(base.model):
            for active in rounds:
                rule.write(active)
            rule.complete()

    rounds = ([0, 1, 2, 3, 4], [0, 2, 3], [3])
    straight, killed, revived = make_night(base), make_night(base), make_night(base)
    for _, rule in (straight, killed, revived):
        rule.begin(chunks[2:], chunks[:2])
    passes(*straight, rounds)
    passes(*killed, rounds[:2])
    revived[0].fast.restore(killed[0].fast.clone())
    revived[1].restore({key: tensor.clone() for key, tensor in killed[1].state().items()})
    passes(*revived, rounds[2:])
    assert all(torch.equal(t, straight[0].fast.tensors()[key]) for key, t in revived[0].fast.tensors().items())
    assert not all(torch.equal(t, killed[0].fast.tensors()[key]) for key, t in revived[0].fast.tensors().items())


def test_written_anew_from_texts_and_dreams_it_is_what_was_written(base: Base) -> None:
    chunks, (sleeper, rule), (other, again) = make_chunks(base), make_night(base), make_night(base)
    with sleeper.fast.attached(base.model):
        rule.begin(chunks, [])
        rule.write([0, 1, 2, 3, 4])
        rule.write([0, 3])
        rule.complete()
    again.rewrite(chunks, {0: 2, 1: 1, 2: 1, 3: 2, 4: 1})
    for name, factors in sleeper.fast.factors.items():
        torch.testing.assert_close(other.fast.factors[name].B @ other.fast.factors[name].A, factors.B @ factors.A, atol=1e-3, rtol=1e-2)


def test_a_small_memory_has_room_for_its_dreams(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written has no more directions than tokens, and dreams are some of them."""
    text = "Orrin."
    chunk = Chunk(document="d", title="", index=0, start=0, end=len(text), text=text, num_tokens=len(text), dreamt=DREAMT[0])
    ranks: list[int] = []

    def watched(change: Any, where: Any, most: int, kept: float) -> Any:
        ranks.append(most)
        return cut(change, where, most, kept)

    cut = ridge_file.cut
    monkeypatch.setattr(ridge_file, "cut", watched)
    for given in (replace(chunk, dreamt=()), chunk):
        make_night(llama)[1].rewrite([given], {0: 1})
    assert ranks[0] < 10 < ranks[-1]
