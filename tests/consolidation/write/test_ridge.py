"""The ridge write against references: sums over tokens one by one, a least-squares solver, and each of its two forms against the other."""

import pytest
import torch
from torch import Tensor

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.background import Background
from nrem.consolidation.write.ridge_site import LowRank, RidgeSite, dense
from nrem.consolidation.write.ridge_sums import Gathered
from nrem.consolidation.write.site import REACH
from nrem.consolidation.write.solve import solve_spd
from tests.sites import D_IN, D_OUT, LENGTHS, D, make_seen


def make_site(seed: int = 0) -> RidgeSite:
    """A site at which nothing is at its start: every parameter takes part."""
    generator = torch.Generator().manual_seed(seed)
    site = RidgeSite(D_IN, D_OUT, D, 2, generator)
    site.background.settle(torch.randn(50, D_IN, generator=generator) * torch.linspace(0.2, 2, D_IN))
    with torch.no_grad():
        for parameter in site.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        site.log_mu.fill_(1.0)
        site.unit.fill_(1.7)
    return site


def naive_tokens(site: RidgeSite, x: Tensor, seen: Seen, row: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(strength, input, value) at every token of a text, straight from the definitions."""
    out = []
    for t in range(x.shape[1]):
        spread = torch.zeros(D)
        for j in range(-REACH, REACH + 1):
            if 0 <= t - j < x.shape[1]:
                spread = spread + site.taps[j + REACH] * seen.error[row, t - j]
        value = site.W1_out @ (site.W1_in @ seen.hidden[row, t]) + site.W2 @ spread
        gate = torch.sigmoid(site.gate_weight @ torch.cat([seen.hidden[row, t], seen.error[row, t]]) + site.gate_bias)
        out.append((gate * seen.valid[row, t], x[row, t], value))
    return out


def naive_change(site: RidgeSite, x: Tensor, seen: Seen) -> Tensor:
    """The solution for all texts together, token after token."""
    C, M = torch.zeros(D_IN, D_IN), torch.zeros(D_OUT, D_IN)
    for row in range(len(x)):
        for strength, key, value in naive_tokens(site, x, seen, row):
            C, M = C + strength * torch.outer(key, key), M + strength * torch.outer(value, key)
    return site.gain * site.unit * M @ torch.linalg.inv(C + site.log_mu.exp() * site.background.matrix())


def primal(site: RidgeSite, C: Tensor, M: Tensor) -> Tensor:
    return site.solve_primal(C + site.prior(), M)


def both_forms(site: RidgeSite, x: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """The change for all texts in one memory: dual, primal."""
    X, V, beta = x.flatten(0, 1)[None], site.values(seen).flatten(0, 1)[None], site.strength(seen).flatten()[None]
    return site.solve_dual(X, V, beta).dense[0], primal(site, *site.sums(X, V, beta))[0]


@LENGTHS
def test_both_forms_equal_the_sums_over_tokens(lengths: tuple[int, ...]) -> None:
    site, (x, seen) = make_site(), make_seen(lengths)
    naive = naive_change(site, x, seen)
    for form in both_forms(site, x, seen):
        torch.testing.assert_close(form, naive, atol=3e-4, rtol=1e-3)  # the reference inverts in float32, too
    assert lengths == (1,) or float(naive.detach().abs().max()) > 0.05, "something was written"


@LENGTHS
def test_gradients_of_both_forms_equal_those_of_the_sums(lengths: tuple[int, ...]) -> None:
    site, (x, seen) = make_site(), make_seen(lengths)
    weights = torch.randn(D_OUT, D_IN, generator=torch.Generator().manual_seed(2))

    def gradients(change: Tensor) -> tuple[Tensor, ...]:
        parameters, total = list(site.parameters()), (change * weights).sum()
        return torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)

    naive = gradients(naive_change(site, x, seen))
    for form in both_forms(site, x, seen):
        for (name, _), mine, theirs in zip(site.named_parameters(), gradients(form), naive, strict=True):
            assert float((mine - theirs).norm()) < 1e-3 + 5e-3 * float(theirs.norm()), f"the gradients of {name} differ"
            unused = name.startswith(("reader", "asked")) or name == "correction"
            assert lengths == (1,) or unused or float(theirs.abs().max()) > 0, name


def test_the_solution_is_the_least_squares_one() -> None:
    site, (x, seen) = make_site(), make_seen((97, 20))
    tokens = [token for row in range(2) for token in naive_tokens(site, x, seen, row)]
    keys = torch.stack([strength.sqrt() * key for strength, key, _ in tokens])
    values = torch.stack([strength.sqrt() * value for strength, _, value in tokens])
    silence = torch.linalg.cholesky(site.log_mu.exp() * site.background.matrix()).T  # inputs at which nothing is to be said
    answer = torch.linalg.lstsq(torch.cat([keys, silence]), torch.cat([values, torch.zeros(D_IN, D_OUT)])).solution.T
    torch.testing.assert_close(both_forms(site, x, seen)[0], site.gain * site.unit * answer, atol=1e-3, rtol=1e-3)


def test_memories_of_a_batch_do_not_touch_one_another() -> None:
    site, (x, seen) = make_site(), make_seen((5, 4, 5, 3))
    together = dense(site.write((x, seen), None, 2))
    for number in range(2):
        rows = slice(2 * number, 2 * number + 2)
        alone = dense(site.write((x[rows], Seen(seen.hidden[rows], seen.error[rows], seen.valid[rows])), None, 1))
        torch.testing.assert_close(together[number], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pieces", [(3,), (1, 2), (40, 57), (5, 2, 90)], ids=str)
def test_what_is_gathered_piece_by_piece_is_solved_as_a_whole(pieces: tuple[int, ...]) -> None:
    """Few tokens are kept, many are summed: the solution and where the texts lie are the same."""
    site, (x, seen) = make_site(), make_seen((sum(pieces),))
    values, strength = site.values(seen)[0], site.strength(seen)[0]
    gathered, at = Gathered(site), 0
    for piece in pieces:
        gathered.add(x[0, at : at + piece], values[at : at + piece], strength[at : at + piece])
        at += piece
    change, where = gathered.solved()
    torch.testing.assert_close(change, both_forms(site, x, seen)[1], atol=1e-4, rtol=1e-3)
    C = (strength[:, None] * x[0]).T @ x[0]
    torch.testing.assert_close(where, C + site.log_mu.exp() * site.background.matrix(), atol=1e-4, rtol=1e-4)


def test_a_later_pass_adds_its_share_whatever_the_form() -> None:
    site, (x, seen) = make_site(), make_seen((2,))
    first, second = site.write((x, seen), None, 1), site.write((2 * x, seen), None, 1)
    assert isinstance(first, LowRank)
    expected = dense(first) + site.correction * dense(second)
    torch.testing.assert_close(dense(site.added(first, second)), expected)
    torch.testing.assert_close(dense(site.added(dense(first), second)), expected)
    rows = torch.randn(4, 3, D_IN, generator=torch.Generator().manual_seed(3))
    for form in (site.added(first, second), site.added(dense(first), second)):
        torch.testing.assert_close(site.change(rows, form), rows @ expected[0].T, atol=1e-5, rtol=1e-4)


def test_a_few_directions_and_a_diagonal_are_the_whole_background_where_they_can_be() -> None:
    """D_IN - 1 directions and a diagonal can hold the small matrix of these tests almost exactly; the inverse is its inverse."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(400, D_IN, generator=generator) @ torch.randn(D_IN, D_IN, generator=generator)
    background = Background(D_IN)
    background.settle(x)
    exact = x.T @ x / len(x)
    assert float((background.matrix() - exact).norm() / exact.norm()) < 0.05
    torch.testing.assert_close(background.matrix().diagonal(), exact.diagonal(), atol=1e-3, rtol=1e-3)
    rows = torch.randn(5, D_IN, generator=generator)
    torch.testing.assert_close(background.solve(rows) @ background.matrix(), rows, atol=1e-3, rtol=1e-3)


def test_solve_spd_has_the_gradient_of_the_inverse() -> None:
    generator = torch.Generator().manual_seed(5)
    root, R = (torch.randn(2, 6, size, generator=generator, dtype=torch.float64, requires_grad=True) for size in (6, 3))

    def solved(root: Tensor, R: Tensor) -> Tensor:
        return solve_spd(root @ root.mT + torch.eye(6, dtype=root.dtype), R)

    assert torch.autograd.gradcheck(solved, (root, R))
    assert torch.allclose(solved(root, R), torch.linalg.inv(root @ root.mT + torch.eye(6, dtype=root.dtype)) @ R)
