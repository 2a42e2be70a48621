"""The ridge write against references: loops over tokens, a least-squares solver, and autograd."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nrem.consolidation.read.observe import Seen, Texts, observe, prediction_error
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.keyed import KeyedRidge, KeyedRidgeSite
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.statistics import Statistics, WrittenStatistics, solve, total
from nrem.runtime.models.load import Base
from tests import tiny
from tests.sites import D_IN, D_OUT, LENGTHS, RANK, D, make_seen, tokens_of


def make_site(seed: int = 0) -> KeyedRidgeSite:
    """A site at which nothing is at its start: every parameter takes part."""
    generator = torch.Generator().manual_seed(seed)
    site = KeyedRidgeSite(D_IN, D_OUT, D, RANK, 2, generator)
    with torch.no_grad():
        for parameter in site.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    with torch.no_grad():
        site.settle(torch.randn(50, D_IN, generator=generator))
    return site


def naive_statistics(site: KeyedRidgeSite, x: Tensor, seen: Seen) -> Statistics:
    """One token after the other."""
    C, M = [], []
    for row in range(len(x)):
        tokens = tokens_of(site, x, seen, row)
        C.append(torch.stack([strength * torch.outer(key, key) for strength, key, _ in tokens]).sum(0))
        M.append(torch.stack([strength * torch.outer(value, key) for strength, key, value in tokens]).sum(0))
    return Statistics(torch.stack(C), torch.stack(M))


@LENGTHS
def test_statistics_equal_a_loop_over_tokens(lengths: tuple[int, ...]) -> None:
    site, (x, seen) = make_site(), make_seen(lengths)
    mine, theirs = site.statistics(x, seen), naive_statistics(site, x, seen)
    torch.testing.assert_close(mine.C, theirs.C, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mine.M, theirs.M, atol=1e-3, rtol=1e-4)
    assert lengths == (1,) or float(mine.M.detach().abs().max()) > 0.1, "something was written"


@LENGTHS
def test_gradients_equal_those_of_the_loop(lengths: tuple[int, ...]) -> None:
    site, (x, seen) = make_site(), make_seen(lengths)
    weights = torch.randn(D_OUT, RANK, generator=torch.Generator().manual_seed(2))

    def gradients(found: Statistics) -> tuple[Tensor, ...]:
        B = site.solve(Statistics(found.C.sum(0), found.M.sum(0)))
        return torch.autograd.grad((B * weights).sum(), list(site.parameters()), materialize_grads=True, allow_unused=True)

    names = [name for name, _ in site.named_parameters()]
    mine, theirs = gradients(site.statistics(x, seen)), gradients(naive_statistics(site, x, seen))
    for name, a, b in zip(names, mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=f"the gradients of {name} differ")
        assert lengths == (1,) or name.startswith("reader") or float(b.abs().max()) > 0, name


def test_the_solution_is_the_least_squares_one() -> None:
    site, (x, seen) = make_site(), make_seen((97, 20))
    found = site.statistics(x, seen)
    tokens = [token for row in range(2) for token in tokens_of(site, x, seen, row)]
    keys = torch.stack([strength.sqrt() * key for strength, key, _ in tokens])
    values = torch.stack([strength.sqrt() * value for strength, _, value in tokens])
    damping = site.log_lambda.exp().sqrt() * torch.eye(RANK)
    ordinary = (torch.randn(50, D_IN, generator=torch.Generator().manual_seed(3)) @ site.A.T).detach()
    site.background = ordinary.T @ ordinary / 50
    said = (site.log_mu.exp() / 50).sqrt() * ordinary  # mu tokens at which nothing is to be said
    silence = torch.zeros(RANK + 50, D_OUT)
    answer = torch.linalg.lstsq(torch.cat([keys, damping, said]), torch.cat([values, silence])).solution.T
    B = site.solve(Statistics(found.C.sum(0), found.M.sum(0)))
    torch.testing.assert_close(B, site.gain * answer, atol=1e-4, rtol=1e-3)


def test_a_batch_is_solved_like_its_rows() -> None:
    site, (x, seen) = make_site(), make_seen((9, 30, 4))
    found = site.statistics(x, seen)
    together = site.solve(found)
    for row in range(3):
        torch.testing.assert_close(together[row], site.solve(Statistics(found.C[row], found.M[row])))


def test_a_later_pass_without_errors_keeps_what_is_written(llama: Base) -> None:
    parameters = tiny.make_keyed_protocol(llama).learned
    assert isinstance(parameters, KeyedRidge)
    generator = torch.Generator().manual_seed(0)
    statistics, fast = {}, {}
    for name, site in parameters.items():
        keys = torch.randn(5000, site.rank, generator=generator)
        fast[name] = torch.randn(len(site.W2), site.rank, generator=generator)
        statistics[name] = Statistics(keys.T @ keys, torch.zeros_like(fast[name]))
    for name, B in parameters.solve(parameters.refined(statistics, fast)).items():
        torch.testing.assert_close(B, fast[name], atol=1e-4, rtol=1e-3)


# What chunks leave adds up.


def make_written(indices: tuple[int, ...], seed: int = 0) -> WrittenStatistics:
    chunks = {}
    for index in indices:
        generator = torch.Generator().manual_seed(seed + index)
        keys, values = torch.randn(20, RANK, generator=generator), torch.randn(20, D_OUT, generator=generator)
        chunks[index] = {"m": Statistics(keys.T @ keys, values.T @ keys).as_kept()}
    return WrittenStatistics({"m": 2.0 * torch.eye(RANK)}, {"m": torch.tensor(0.5)}, 1, chunks)


def written_into_weights(written: WrittenStatistics) -> Tensor:
    fast = FastWeights({"m": Factors(torch.ones(RANK + 1, D_IN), torch.full((D_OUT, RANK + 1), 7.0))})
    written.write_into(fast)
    assert torch.equal(fast.factors["m"].B[:, :1], torch.full((D_OUT, 1), 7.0)), "the reader's columns are not touched"
    return fast.factors["m"].B[:, 1:]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)))
def test_the_order_of_chunks_does_not_matter(order: list[int]) -> None:
    assert torch.equal(written_into_weights(make_written(tuple(order))), written_into_weights(make_written((0, 1, 2, 3, 4))))


def test_several_chunks_are_the_sum_of_each() -> None:
    written = make_written((0, 1, 2))
    C = sum(written.chunks[i]["m"].C for i in range(3))
    M = sum(written.chunks[i]["m"].M for i in range(3))
    assert isinstance(C, Tensor)
    assert isinstance(M, Tensor)
    expected = 0.5 * M @ torch.linalg.inv(C + 2.0 * torch.eye(RANK))
    torch.testing.assert_close(written_into_weights(written), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(total(s["m"] for s in written.chunks.values()).C, C)


def test_forgotten_chunks_were_never_there_and_nothing_written_is_zero() -> None:
    kept = make_written((0, 1, 2)).renumbered({0: 0, 2: 2})
    assert torch.equal(written_into_weights(kept), written_into_weights(make_written((0, 2))))
    assert not written_into_weights(make_written(())).any()


def test_two_memories_joined_are_one() -> None:
    joined = make_written((0, 1)).joined(make_written((2, 3)))
    assert torch.equal(written_into_weights(joined), written_into_weights(make_written((0, 1, 2, 3))))
    with pytest.raises(UsageError, match="merge: chunk 1 is in both memories"):
        make_written((0, 1)).joined(make_written((1, 2)))
    other = make_written((2,))
    other.gain["m"] = torch.tensor(0.6)
    with pytest.raises(UsageError, match="merge: the two memories were written by different protocols"):
        make_written((0,)).joined(other)


def test_statistics_come_back_from_their_tensors() -> None:
    written = make_written((3, 0))
    tensors = written.tensors()
    again = WrittenStatistics.from_tensors(tensors)
    assert again.tensors().keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in again.tensors().items())
    assert torch.equal(written_into_weights(again), written_into_weights(written))
    with pytest.raises(MemoryFolderError, match="statistics: the tensor 000003/m/M is missing; restore the file"):
        WrittenStatistics.from_tensors({key: tensor for key, tensor in tensors.items() if key != "000003/m/M"})


# What reading leaves.


@pytest.mark.parametrize("vocabulary", [0, 10, 10**6])
@pytest.mark.parametrize("bias", [False, True])
def test_the_prediction_error_is_the_gradient_of_the_loss(vocabulary: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(D, 50, bias=bias)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    hidden = torch.randn(2, 300, D, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (2, 300), generator=generator)
    valid = torch.rand(2, 300, generator=generator) < 0.8
    size = min(vocabulary or 50, 50)
    logits = head(hidden)
    hidden_away = (torch.arange(50) >= size) & (torch.arange(50) != targets[..., None])
    loss = F.cross_entropy(logits.masked_fill(hidden_away, -torch.inf).transpose(1, 2), targets, reduction="none") * valid
    (gradient,) = torch.autograd.grad(loss.sum(), hidden)
    with torch.no_grad():
        error, found = prediction_error(head, hidden, targets, valid, vocabulary)
    scale = head.weight.detach().pow(2).mean().sqrt()
    torch.testing.assert_close(error, -gradient / scale, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, loss.detach(), atol=1e-4, rtol=1e-4)


def test_reading_gives_the_models_own_loss_and_inputs(base: Base) -> None:
    split = SplitModel(base.model, 2)
    rows = [list(tiny.STORY[:40].encode()), list(tiny.STORY[40:60].encode()), [65]]
    texts = Texts.pad(rows, 257, base.model.device)
    names = list(tiny.make_fast_weights(base).factors)
    with torch.no_grad():
        seen = observe(split, texts, split.lower(texts.ids, texts.mask), names)
        for row, ids in enumerate(rows):
            logits = base.model(input_ids=torch.tensor([ids])).logits[0, :-1]
            own = F.cross_entropy(logits, torch.tensor(ids[1:])) if len(ids) > 1 else torch.tensor(0.0)
            assert float(seen.loss[row]) == pytest.approx(float(own), rel=1e-4, abs=1e-5)
            assert seen.seen.valid[row].sum() == len(ids) - 1
    assert not seen.seen.error[seen.seen.valid == 0].any()
    assert {name: tuple(x.shape) for name, x in seen.inputs.items()} == {
        name: (3, 40, factors.A.shape[1]) for name, factors in tiny.make_fast_weights(base).factors.items()
    }


def test_solving_is_differentiable_in_the_damping() -> None:
    damping = torch.tensor(2.0, requires_grad=True)
    statistics, eye = make_written((0,)).chunks[0]["m"], torch.eye(RANK)
    solve(statistics, damping * eye, torch.tensor(1.0)).sum().backward()
    assert damping.grad is not None
    with torch.no_grad():
        step = 1e-2
        ends = [solve(statistics, (damping + d) * eye, torch.tensor(1.0)).sum() for d in (-step, step)]
    assert float(damping.grad) == pytest.approx(float(ends[1] - ends[0]) / (2 * step), rel=1e-2)
