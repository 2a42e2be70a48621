"""The delta write against a loop over tokens, and what follows from its being one."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.delta import DeltaSite, Update, combined_keys
from tests.sites import D_IN, D_OUT, LENGTHS, RANK, D, make_seen, tokens_of

AGAIN = pytest.mark.parametrize("again", [False, True])


def make_site(seed: int = 0) -> DeltaSite:
    """A site at which nothing is at its start: every parameter takes part."""
    generator = torch.Generator().manual_seed(seed)
    site = DeltaSite(D_IN, D_OUT, D, RANK, 2, generator)
    with torch.no_grad():
        for parameter in site.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        site.settle(torch.randn(50, D_IN, generator=generator))
    return site


def make_B(seed: int) -> Tensor:
    return torch.randn(D_OUT, RANK, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def naive_written(site: DeltaSite, B: Tensor, read: Tensor, x: Tensor, seen: Seen, row: int, again: bool) -> Tensor:
    """One token after the other."""
    B = torch.sigmoid(site.keep_logit) * B
    for strength, key, value in tokens_of(site, x, seen, row):
        unit = key / key.norm()
        told = read @ unit + (site.share if again else 1.0) * site.gain / site.length * value
        B = B + strength * torch.outer(told - B @ unit, unit)
    return B


def rows_of(update: Update, row: int) -> Update:
    return Update(update.erase[row], update.add[row])


@AGAIN
@LENGTHS
def test_a_text_is_written_as_by_a_loop_over_tokens(lengths: tuple[int, ...], again: bool) -> None:
    site, (x, seen) = make_site(), make_seen(lengths)
    update = site.update(x, seen)
    for row in range(len(lengths)):
        mine = site.written(make_B(1), make_B(2), rows_of(update, row), again)
        theirs = naive_written(site, make_B(1), make_B(2), x, seen, row, again)
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
        assert lengths[row] == 1 or float((mine - site.keep() * make_B(1)).detach().abs().max()) > 0.1, "something was written"


@AGAIN
@LENGTHS
def test_gradients_equal_those_of_the_loop(lengths: tuple[int, ...], again: bool) -> None:
    """All texts into one memory, one after the other."""
    site, (x, seen) = make_site(), make_seen(lengths)
    weights = torch.randn(D_OUT, RANK, generator=torch.Generator().manual_seed(3))
    start, read = make_B(1), make_B(2)
    named = {**dict(site.named_parameters()), "B": start, "read": read}

    def gradients(B: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((B * weights).sum(), list(named.values()), materialize_grads=True, allow_unused=True)

    mine = theirs = start
    update = site.update(x, seen)
    for row in range(len(lengths)):
        mine = site.written(mine, read, rows_of(update, row), again)
        theirs = naive_written(site, theirs, read, x, seen, row, again)
    for name, a, b in zip(named, gradients(mine), gradients(theirs), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=f"the gradients of {name} differ")
        unused = name.startswith("reader") or name == "A" or (name == "share" and not again) or lengths == (1,)
        assert unused or float(b.abs().max()) > 0, name


def test_the_solve_is_the_published_one() -> None:
    """(I + strict_lower(diag(beta) K K^T)) U = diag(beta) (V - K B^T) of arXiv 2406.06484, which needs B and solves for o columns."""
    generator = torch.Generator().manual_seed(0)
    keys = F.normalize(torch.randn(3, 97, RANK, generator=generator), dim=-1)
    values, strength = torch.randn(3, 97, D_OUT, generator=generator), torch.rand(3, 97, generator=generator)
    B = torch.randn(3, D_OUT, RANK, generator=generator)
    lower = torch.eye(97) + torch.tril(strength[..., None] * (keys @ keys.mT), -1)
    U = torch.linalg.solve(lower, strength[..., None] * (values - keys @ B.mT))
    W = combined_keys(keys, strength)
    torch.testing.assert_close(B - B @ (keys.mT @ W) + values.mT @ W, B + U.mT @ keys, atol=1e-4, rtol=1e-4)


def test_a_batch_is_written_like_its_rows_and_padding_does_nothing() -> None:
    lengths = (9, 30, 4)
    site, (x, seen) = make_site(), make_seen(lengths)
    together = site.update(x, seen)
    for row, length in enumerate(lengths):
        alone = Seen(*(t[row : row + 1, :length] for t in (seen.hidden, seen.error, seen.valid)))
        update = site.update(x[row : row + 1, :length], alone)
        torch.testing.assert_close(together.erase[row], update.erase[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together.add[row], update.add[0], atol=1e-5, rtol=1e-4)


def test_the_order_of_texts_matters() -> None:
    site, (x, seen) = make_site(), make_seen((20, 30))
    update, start = site.update(x, seen), make_B(1)
    first, second = (rows_of(update, row) for row in range(2))
    forth = site.written(site.written(start, start, first, False), start, second, False)
    back = site.written(site.written(start, start, second, False), start, first, False)
    assert float((forth - back).detach().norm()) > 0.05 * float(forth.detach().norm())


def test_what_was_written_last_under_a_key_is_what_is_read() -> None:
    """97 tokens under two keys at full strength: nothing piles up."""
    keys = F.normalize(torch.randn(2, RANK, generator=torch.Generator().manual_seed(0)), dim=-1)[torch.arange(97) % 2]
    values = torch.randn(97, D_OUT, generator=torch.Generator().manual_seed(1))
    B = values.T @ combined_keys(keys, torch.ones(97))
    torch.testing.assert_close(B @ keys[-1], values[-1], atol=1e-4, rtol=1e-4)
    assert float(B.norm()) < 2 * float(values[-2:].norm()) / float(torch.linalg.svdvals(keys[:2])[-1])
