"""What is learned at one adapted module, and all such sites of a base model: what every way of writing shares.

Axes: t tokens, i inputs of an adapted module, o its outputs, d width of the residual stream, r rank.

Attached, a site adds `reader_B reader_A x + B A x` to the module's output: the static reader, the same for all memories, and what a memory
has written. The forward-only rules write values under keys, each at a token t with input x_t, final hidden state h_t and prediction error
e_t there:

    k_t = (A + D) x_t        v_t = W1 h_t + W2 sum_j c_j e_{t-j}        beta_t = sigmoid(w . [h_t, e_t] + b)

e_t = E[x_{t+1}] - sum_j p_t(j) E[j] is the exact gradient of the next-token loss at the final hidden state, and the residual path carries
it to every layer: no backward pass is needed. The taps c_j write an error also under the keys of its neighbours, before and behind: a
question about "Frost founded Wexley" is asked with "Wexley" and wants "Frost", which next-token errors alone never associate in this
direction. D, of low rank, lets the keys under which a text is written differ from those that are read.

Knows nothing about how B follows from keys and values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar, cast

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn

REACH = 4
"""Tokens before and behind whose keys an error can be written under."""
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


class Site(nn.Module):
    """The factors through which a memory is read: the static reader's two, and A."""

    def __init__(
        self, d_in: int, d_out: int, rank: int, reader_rank: int, key_scale: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.reader_A, self.reader_B = _normal(reader_rank, d_in, 1.0, generator), nn.Parameter(torch.zeros(d_out, reader_rank))
        self.A = _normal(rank, d_in, key_scale, generator)

    @property
    def rank(self) -> int:
        return len(self.A)

    @property
    def d_in(self) -> int:
        return self.A.shape[1]

    @property
    def d_out(self) -> int:
        return len(self.reader_B)

    def reader(self) -> Float[Tensor, "out i"]:
        """The static reader's change to the module's weight, for checks; never formed in use."""
        return self.reader_B @ self.reader_A


class KeyedSite(Site):
    """A site at which values are written under keys; all that the formulas above name."""

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, rank, reader_rank, 4.0, generator)
        self.D_in, self.D_out = _normal(OFFSET_RANK, d_in, 1.0, generator), nn.Parameter(torch.zeros(rank, OFFSET_RANK))
        scale = 1 / math.sqrt(d_model)
        self.W1_in = nn.Parameter(torch.randn(HIDDEN_RANK, d_model, generator=generator) * scale)  # W1 = W1_out W1_in, zero at first
        self.W1_out = nn.Parameter(torch.zeros(d_out, HIDDEN_RANK))
        self.W2 = nn.Parameter(torch.eye(d_out, d_model))  # the error is the value to begin with: random values learned almost nothing
        away = torch.arange(-REACH, REACH + 1).abs()
        self.taps = nn.Parameter(torch.where(away == 0, 1.0, 0.1 * torch.exp(-away / 4)))
        self.gate_weight = nn.Parameter(torch.zeros(2 * d_model))
        self.gate_bias = nn.Parameter(torch.zeros(()))

    def keys(self, x: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch rank"]:
        """The keys under which these inputs are written."""
        return (x @ self.A.to(x.dtype).T + (x @ self.D_in.to(x.dtype).T) @ self.D_out.to(x.dtype).T).float()

    def strength(self, seen: Seen) -> Float[Tensor, "batch token"]:
        """How strongly each token is written, 0 to 1; 0 at padding and at the last token."""
        by_hidden, by_error = self.gate_weight.split(seen.hidden.shape[-1])
        return torch.sigmoid(seen.hidden @ by_hidden + seen.error @ by_error + self.gate_bias) * seen.valid

    def values_under(self, weighted: Float[Tensor, "batch token rank"], seen: Seen) -> Float[Tensor, "batch out rank"]:
        """sum_t v_t w_t^T for weighted keys w_t, without forming any value:

        sum_t v_t w_t^T = W1 (sum_t h_t w_t^T) + W2 (sum_t e_t (sum_j c_j w_{t+j})^T)
        """
        P = einsum(seen.hidden, weighted, "b t d, b t r -> b d r")
        Q = einsum(seen.error, self._spread(weighted), "b t d, b t r -> b d r")
        return self.W1_out @ (self.W1_in @ P) + self.W2 @ Q

    def _spread(self, weighted: Float[Tensor, "batch token rank"]) -> Float[Tensor, "batch token rank"]:
        """At each token, the keys of its neighbours under which its error is written."""
        padded, tokens = nn.functional.pad(weighted, (0, 0, REACH, REACH)), weighted.shape[1]
        shifted = (tap * padded[:, j : j + tokens] for j, tap in enumerate(self.taps))
        return reduce(torch.add, shifted)  # a depthwise convolution takes longer


def _normal(rows: int, columns: int, scale: float, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns, generator=generator) * scale / math.sqrt(columns))


AnySite = TypeVar("AnySite", bound=Site)


class Sites(nn.Module, Generic[AnySite]):
    """The sites of one base model, by the adapted module's full name."""

    def __init__(self, names: Sequence[str], sites: Sequence[AnySite]) -> None:
        super().__init__()
        self.names = list(names)
        self._sites = nn.ModuleList(sites)

    def items(self) -> list[tuple[str, AnySite]]:
        """(module name, site), lowest layer first."""
        return list(zip(self.names, cast(Sequence[AnySite], self._sites), strict=True))

    def __getitem__(self, name: str) -> AnySite:
        return cast(AnySite, self._sites[self.names.index(name)])
