"""The ridge write: fast weights as the regularised least-squares map from learned keys to prediction errors.

Axes: b chunks (or memories) of a batch, t tokens, i inputs of an adapted module, o its outputs, d width of the residual stream, r rank.

For a module with input x_t, and with h_t the final hidden state and e_t the prediction error there:

    k_t = (A + D) x_t        v_t = W1 h_t + W2 sum_j c_j e_{t-j}        beta_t = sigmoid(w . [h_t, e_t] + b)
    C = sum_t beta_t k_t k_t^T        M = sum_t beta_t v_t k_t^T        B = gain * M (C + lambda I + mu C_0)^-1

e_t = E[x_{t+1}] - sum_j p_t(j) E[j] is the exact gradient of the next-token loss at the final hidden state, and the residual path carries
it to every layer: no backward pass is needed. The taps c_j write an error also under the keys of its neighbours, before and behind: a
question about "Frost founded Wexley" is asked with "Wexley" and wants "Frost", which next-token errors alone never associate in this
direction.

What is attached adds B A x to the module's output. D, of low rank, lets the keys under which a text is written differ from those that
are read. C_0 = E[(A x)(A x)^T] over ordinary text, where a write should say nothing, as in ROME (arXiv 2202.05262): mu tokens of it count
against the text's own.

C and M are sums over tokens, so chunks add up, in any order, and can be taken out again. M is never formed token by token:

    sum_t beta_t v_t k_t^T = W1 (sum_t beta_t h_t k_t^T) + W2 (sum_t e_t (sum_j c_j beta_{t+j} k_{t+j})^T)

Knows nothing about text, passes or training.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from nrem.memory.statistics import Statistics, WrittenStatistics, solve

REACH = 4
"""Tokens before and behind whose keys an error can be written under."""
CORRECTION = 0.3
"""Share of the remaining error that a later pass writes (benchmarks/LOG.md)."""
SMALLEST_GAIN = 0.05
OFFSET_RANK = 32
"""Rank of D."""
HIDDEN_RANK = 64
"""Rank of W1: the errors carry most of what is written, so the hidden states get the smaller matrix."""


@dataclass(frozen=True)
class Seen:
    """What reading left at every token, both at unit scale; `valid` is 0 at padding and at the last token."""

    hidden: Float[Tensor, "batch token d"]
    error: Float[Tensor, "batch token d"]
    valid: Float[Tensor, "batch token"]


class RidgeSite(nn.Module):
    """What is learned at one adapted module: all that the formulas above name, and the static reader's two factors."""

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__()

        def normal(rows: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, d_in, generator=generator) * scale / math.sqrt(d_in))

        self.reader_A, self.reader_B = normal(reader_rank, 1.0), nn.Parameter(torch.zeros(d_out, reader_rank))
        self.A = normal(rank, 4.0)
        self.D_in, self.D_out = normal(OFFSET_RANK, 1.0), nn.Parameter(torch.zeros(rank, OFFSET_RANK))
        scale = 1 / math.sqrt(d_model)
        self.W1_in = nn.Parameter(torch.randn(HIDDEN_RANK, d_model, generator=generator) * scale)  # W1 = W1_out W1_in, zero at first
        self.W1_out = nn.Parameter(torch.zeros(d_out, HIDDEN_RANK))
        self.W2 = nn.Parameter(torch.eye(d_out, d_model))  # the error is the value to begin with: random values learned almost nothing
        away = torch.arange(-REACH, REACH + 1).abs()
        self.taps = nn.Parameter(torch.where(away == 0, 1.0, 0.1 * torch.exp(-away / 4)))
        self.gate_weight = nn.Parameter(torch.zeros(2 * d_model))
        self.gate_bias = nn.Parameter(torch.zeros(()))
        self.log_lambda, self.log_mu = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(2.0))
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("background", torch.zeros(rank, rank))

    @property
    def rank(self) -> int:
        return len(self.A)

    def statistics(self, x: Float[Tensor, "batch token i"], seen: Seen) -> Statistics:
        """What these texts leave here, one entry a row."""
        keys = (x @ self.A.to(x.dtype).T + (x @ self.D_in.to(x.dtype).T) @ self.D_out.to(x.dtype).T).float()
        by_hidden, by_error = self.gate_weight.split(seen.hidden.shape[-1])
        strength = torch.sigmoid(seen.hidden @ by_hidden + seen.error @ by_error + self.gate_bias) * seen.valid
        weighted = keys * strength[..., None]
        C = einsum(weighted, keys, "b t r, b t s -> b r s")
        P = einsum(seen.hidden, weighted, "b t d, b t r -> b d r")
        Q = einsum(seen.error, self._spread(weighted), "b t d, b t r -> b d r")
        return Statistics(C, self.W1_out @ (self.W1_in @ P) + self.W2 @ Q)

    def _spread(self, weighted: Float[Tensor, "batch token rank"]) -> Float[Tensor, "batch token rank"]:
        """At each token, the keys of its neighbours under which its error is written."""
        rows = rearrange(weighted, "b t r -> (b r) 1 t")
        spread = nn.functional.conv1d(rows, self.taps[None, None], padding=REACH)
        return rearrange(spread, "(b r) 1 t -> b t r", b=len(weighted))

    def settle(self, x: Float[Tensor, "token i"]) -> None:
        """Take C_0 from what enters the module when ordinary text is read; differentiable in A."""
        keys = (x @ self.A.to(x.dtype).T).float()
        self.background = keys.T @ keys / len(keys)

    def damping(self) -> Float[Tensor, "rank rank"]:
        """lambda I + mu C_0."""
        return self.log_lambda.exp() * torch.eye(self.rank, device=self.A.device) + self.log_mu.exp() * self.background

    def solve(self, statistics: Statistics) -> Float[Tensor, "*batch out rank"]:
        """The fast weights that follow from the sum of the statistics."""
        return solve(statistics, self.damping(), self.gain)

    def reader(self) -> Float[Tensor, "out i"]:
        """The static reader's change to the module's weight, for checks; never formed in use."""
        return self.reader_B @ self.reader_A


class RidgeParameters(nn.Module):
    """The sites of one base model, by the adapted module's full name."""

    def __init__(
        self,
        shapes: dict[str, tuple[int, int]],
        d_model: int,
        rank: int,
        reader_rank: int,
        error_vocabulary: int = 0,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.rank, self.reader_rank = rank, reader_rank
        self.error_vocabulary = error_vocabulary
        """Tokens over which expectations run when the error is taken; 0 for all."""
        self.names = list(shapes)
        self._sites = nn.ModuleList(RidgeSite(i, o, d_model, rank, reader_rank, generator) for i, o in shapes.values())

    def items(self) -> list[tuple[str, RidgeSite]]:
        """(module name, site), lowest layer first."""
        return list(zip(self.names, self._sites, strict=True))  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> RidgeSite:
        site = self._sites[self.names.index(name)]
        assert isinstance(site, RidgeSite)
        return site

    def statistics(self, inputs: dict[str, Tensor], seen: Seen) -> dict[str, Statistics]:
        """Statistics at every site."""
        return {name: site.statistics(inputs[name], seen) for name, site in self.items()}

    def solve(self, statistics: dict[str, Statistics]) -> dict[str, Tensor]:
        """B at every site."""
        return {name: site.solve(statistics[name]) for name, site in self.items()}

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        """Take C_0 at every site from what enters the modules when ordinary text is read, (token d_in) each."""
        for name, x in inputs.items():
            self[name].settle(x)

    def refined(self, statistics: dict[str, Statistics], fast: dict[str, Tensor]) -> dict[str, Statistics]:
        """Statistics of a later pass over texts that `fast` holds already: what it says now, corrected by a part of what is still wrong.

        With the errors of that pass alone the fast weights would lose all that they explain, since it is no error any more.
        M = B (C + lambda I + mu C_0) / gain is what is solved by B again.
        """
        out = {}
        for name, (C, M) in statistics.items():
            kept = fast[name] @ (C + self[name].damping()) / self[name].gain.clamp_min(SMALLEST_GAIN)
            out[name] = Statistics(C, CORRECTION * M + kept)
        return out

    def nothing_written(self) -> WrittenStatistics:
        """What a new memory starts from."""
        damping = {name: site.damping().detach() for name, site in self.items()}
        return WrittenStatistics(damping, {name: site.gain.detach().clone() for name, site in self.items()}, self.reader_rank)
