"""How answers to dreamt questions are written, against the formula token by token; unlearned, they are written as a text is."""

import torch
from torch import Tensor

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.asked import SHARED, Asked
from nrem.consolidation.write.ridge_site import RidgeSite, dense
from nrem.consolidation.write.site import REACH

D_IN, D_OUT, D_MODEL = 12, 7, 5


def make_site(learned: float = 0.3) -> RidgeSite:
    generator = torch.Generator().manual_seed(0)
    site = RidgeSite(D_IN, D_OUT, D_MODEL, 2, generator)
    with torch.no_grad():
        for name, p in site.named_parameters():
            p.add_((learned if name.startswith("asked") else 0.3) * torch.randn(p.shape, generator=generator))
    site.background.settle(torch.randn(40, D_IN, generator=generator))
    return site


def make_seen(*written: int, width: int = 9, seed: int = 1) -> tuple[Tensor, Seen]:
    """Rows that end in so many written tokens."""
    generator = torch.Generator().manual_seed(seed)
    x, hidden, error = (torch.randn(len(written), width, d, generator=generator) for d in (D_IN, D_MODEL, D_MODEL))
    valid = (torch.arange(width) >= width - torch.tensor(written)[:, None]).float()
    return x, Seen(hidden, error * valid[..., None], valid)


def naive(site: RidgeSite, seen: Seen, row: int, t: int) -> tuple[Tensor, Tensor]:
    """Value, its mean not yet taken off, and strength at one token."""
    asked, spread = site.asked, torch.zeros(D_MODEL)
    for away in range(-REACH, REACH + 1):
        if 0 <= t - away < seen.error.shape[1]:
            spread = spread + (site.taps + asked.taps)[REACH + away] * seen.error[row, t - away]
    value = site.W1_out @ site.W1_in @ seen.hidden[row, t] + (site.W2 + asked.U @ asked.D) @ spread
    both = torch.cat([seen.hidden[row, t], seen.error[row, t]])
    strength = torch.sigmoid((site.gate_weight + asked.gate_weight) @ both + site.gate_bias + asked.gate_bias)
    return asked.log_gain.exp() * value, strength


@torch.no_grad()
def test_values_and_strengths_are_those_of_the_formula() -> None:
    site, (_, seen) = make_site(), make_seen(3, 1, 4)
    values, strength = site.values(seen, site.asked), site.strength(seen, site.asked)
    for row, t in seen.valid.nonzero().tolist():
        value, beta = naive(site, seen, row, t)
        torch.testing.assert_close(values[row, t], value, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(strength[row, t], beta, atol=1e-5, rtol=1e-4)
    assert float(strength[seen.valid == 0].abs().max()) == 0


@torch.no_grad()
def test_a_share_of_their_mean_is_taken_off_and_of_few_less() -> None:
    site, (_, seen) = make_site(), make_seen(3, 0, 4)
    values, strength = site.values(seen, site.asked).flatten(0, 1), site.strength(seen, site.asked).flatten()
    written = strength > 0
    expected = values - site.asked.shared * values[written].sum(0) / (int(written.sum()) + 1)
    torch.testing.assert_close(site.asked.apart(values[None], strength[None])[0], expected, atol=1e-5, rtol=1e-4)
    nothing = torch.zeros_like(strength)
    torch.testing.assert_close(site.asked.apart(values, nothing), values)


@torch.no_grad()
def test_a_memory_solves_for_texts_and_dreams_at_once() -> None:
    site, (x, seen), (asked_x, asked) = make_site(), make_seen(8, 8), make_seen(2, 3, seed=2)
    both = dense(site.write((x, seen), (asked_x, asked), 1))[0]
    strength = site.strength(asked, site.asked).flatten()
    values = site.asked.apart(site.values(asked, site.asked).flatten(0, 1), strength)
    X, V = torch.cat([x.flatten(0, 1), asked_x.flatten(0, 1)]), torch.cat([site.values(seen).flatten(0, 1), values])
    beta = torch.cat([site.strength(seen).flatten(), strength])
    C, M = X.T @ (beta[:, None] * X), V.T @ (beta[:, None] * X)
    torch.testing.assert_close(both, site.gain * M @ torch.linalg.inv(C + site.prior()), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_unlearned_they_are_written_as_a_text_is_but_for_their_mean() -> None:
    site, (_, seen) = make_site(learned=0.0), make_seen(3, 4)
    torch.testing.assert_close(site.values(seen, site.asked), site.values(seen))
    torch.testing.assert_close(site.strength(seen, site.asked), site.strength(seen))
    assert float(Asked(D_OUT, D_MODEL, 9).shared) == torch.tensor(SHARED)
