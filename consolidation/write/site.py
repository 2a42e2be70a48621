"""What is learned at one adapted module, and all such sites of a base model: what every way of writing shares.

Axes: t tokens, i inputs of an adapted module, o its outputs, d width of the residual stream, r rank.

Attached, a site adds `reader_B reader_A x + change(x)` to the module's output: the static reader, the same for all memories, and what a
memory has written. The forward-only rules write values with a strength at every token t of a text, from its final hidden state h_t and its
prediction error e_t:

    v_t = W1 h_t + W2 sum_j c_j e_{t-j}        beta_t = sigmoid(w . [h_t, e_t] + b)

e_t = E[x_{t+1}] - sum_j p_t(j) E[j] is the exact gradient of the next-token loss at the final hidden state, and the residual path carries
it to every layer: no backward pass is needed. The taps c_j write an error also at its neighbours, before and behind: a question about
"Frost founded Wexley" is asked with "Wexley" and wants "Frost", which next-token errors alone never associate in this direction.

Knows nothing about what is solved for.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Generic, TypeVar, cast

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.asked import Asked
from nrem.memory.weights.fast_weights import Factors

REACH = 4
"""Tokens before and behind at which an error can be written."""
OFFSET_RANK = 32
"""Rank of D."""
HIDDEN_RANK = 64
"""Rank of W1: the errors carry most of what is written, so the hidden states get the smaller matrix."""


class Site(nn.Module):
    """The static reader of one module, by itself: nothing is written here. A scribe is made of the same."""

    def __init__(self, d_in: int, d_out: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.reader_A, self.reader_B = normal(reader_rank, d_in, 1.0, generator), nn.Parameter(torch.zeros(d_out, reader_rank))

    @property
    def d_in(self) -> int:
        return self.reader_A.shape[1]

    @property
    def d_out(self) -> int:
        return len(self.reader_B)

    def factors(self) -> Factors:
        """What is attached where nothing was written yet, in tensors of its own."""
        return Factors(self.reader_A.detach().clone(), self.reader_B.detach().clone())

    @torch.no_grad()
    def take_reader(self, A: Float[Tensor, "r i"], B: Float[Tensor, "o r"]) -> None:
        """Read as these factors do, or, where they have a larger rank than this reader, as nearly as its own allows."""
        rank = len(self.reader_A)
        if len(A) > rank:
            U, S, Vh = torch.linalg.svd(B @ A, full_matrices=False)
            root = S[:rank].sqrt()
            A, B = root[:, None] * Vh[:rank], U[:, :rank] * root
        self.reader_B.zero_()
        self.reader_A[: len(A)], self.reader_B[:, : len(A)] = A, B

    def read(self, x: Float[Tensor, "row token i"]) -> Float[Tensor, "row token o"]:
        """What the static reader adds to the module's output, in x's dtype."""
        return (x @ self.reader_A.to(x.dtype).T) @ self.reader_B.to(x.dtype).T


class LowRankSite(Site):
    """A site whose fast weights are B A with a learned A, the same for all memories."""

    def __init__(
        self, d_in: int, d_out: int, rank: int, reader_rank: int, key_scale: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(d_in, d_out, reader_rank, generator)
        self.A = normal(rank, d_in, key_scale, generator)

    @property
    def rank(self) -> int:
        return len(self.A)

    def factors(self) -> Factors:
        """Reader and an empty written part side by side."""
        A, empty = torch.cat([self.reader_A, self.A]), torch.zeros(self.d_out, self.rank, device=self.A.device)
        return Factors(A.detach().clone(), torch.cat([self.reader_B, empty], 1).detach().clone())

    def change(self, x: Float[Tensor, "row token i"], written: Float[Tensor, "group out rank"]) -> Float[Tensor, "row token o"]:
        """What was written adds to the module's output: rows are group-major, as many for each memory of `written`."""
        keys = by_group(x @ self.A.to(x.dtype).T, len(written))
        return by_row(keys @ written.to(x.dtype).mT, len(x))


class ValuedSite(Site):
    """What a forward-only rule learns of values and strengths, beside the reader; mixed into sites that write."""

    def learn_values(self, d_model: int, generator: torch.Generator | None) -> None:
        """Make W1, W2, the taps and the gate."""
        scale = 1 / math.sqrt(d_model)
        self.W1_in = nn.Parameter(torch.randn(HIDDEN_RANK, d_model, generator=generator) * scale)  # W1 = W1_out W1_in, zero at first
        self.W1_out = nn.Parameter(torch.zeros(self.d_out, HIDDEN_RANK))
        self.W2 = nn.Parameter(torch.eye(self.d_out, d_model))  # the error is the value to begin with: random values learned almost nothing
        away = torch.arange(-REACH, REACH + 1).abs()
        self.taps = nn.Parameter(torch.where(away == 0, 1.0, 0.1 * torch.exp(-away / 4)))
        self.gate_weight = nn.Parameter(torch.zeros(2 * d_model))
        self.gate_bias = nn.Parameter(torch.zeros(()))

    def strength(self, seen: Seen, asked: Asked | None = None) -> Float[Tensor, "batch token"]:
        """How strongly each token is written, 0 to 1; 0 at padding and at the last token. Of dreams with what was learned of them."""
        weight = self.gate_weight if asked is None else self.gate_weight + asked.gate_weight
        bias = self.gate_bias if asked is None else self.gate_bias + asked.gate_bias
        by_hidden, by_error = weight.split(seen.hidden.shape[-1])
        return torch.sigmoid(seen.hidden @ by_hidden + seen.error @ by_error + bias) * seen.valid

    def values(self, seen: Seen, asked: Asked | None = None) -> Float[Tensor, "batch token o"]:
        """v_t at every token; of dreams before their mean is taken off."""
        band = _band(self.taps if asked is None else self.taps + asked.taps, seen.error.shape[1])
        spread = band @ seen.error
        values = (seen.hidden @ self.W1_in.T) @ self.W1_out.T + spread @ self.W2.T
        return values if asked is None else asked.changed(values, spread)


class KeyedSite(ValuedSite, LowRankSite):
    """A site at which values are written under learned keys of rank r: k_t = (A + D) x_t.

    D, of low rank, lets the keys under which a text is written differ from those that are read.
    """

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        LowRankSite.__init__(self, d_in, d_out, rank, reader_rank, 4.0, generator)
        self.D_in, self.D_out = normal(OFFSET_RANK, d_in, 1.0, generator), nn.Parameter(torch.zeros(rank, OFFSET_RANK))
        self.learn_values(d_model, generator)

    def keys(self, x: Float[Tensor, "*batch i"]) -> Float[Tensor, "*batch rank"]:
        """The keys under which these inputs are written."""
        return (x @ self.A.to(x.dtype).T + (x @ self.D_in.to(x.dtype).T) @ self.D_out.to(x.dtype).T).float()

    def values_under(self, weighted: Float[Tensor, "batch token rank"], seen: Seen) -> Float[Tensor, "batch out rank"]:
        """sum_t v_t w_t^T for weighted keys w_t, without forming any value:

        sum_t v_t w_t^T = W1 (sum_t h_t w_t^T) + W2 (sum_t e_t (sum_j c_j w_{t+j})^T)
        """
        P = einsum(seen.hidden, weighted, "b t d, b t r -> b d r")
        Q = einsum(seen.error, _spread(weighted, self.taps), "b t d, b t r -> b d r")
        return self.W1_out @ (self.W1_in @ P) + self.W2 @ Q


def _spread(rows: Float[Tensor, "batch token n"], taps: Float[Tensor, " tap"]) -> Float[Tensor, "batch token n"]:
    """sum_j taps[REACH + j] row_{t+j} at each token; a depthwise convolution takes longer."""
    padded, tokens = nn.functional.pad(rows, (0, 0, REACH, REACH)), rows.shape[1]
    return reduce(torch.add, (tap * padded[:, j : j + tokens] for j, tap in enumerate(taps)))


def _band(taps: Float[Tensor, " tap"], tokens: int) -> Float[Tensor, "token token"]:
    """The matrix that puts at token t sum_j taps[REACH + j] row_{t-j}: one product is cheaper, backward too, than nine shifted sums."""
    place = torch.arange(tokens, device=taps.device)
    away = place[:, None] - place
    return taps[(away + REACH).clamp(0, 2 * REACH)] * (away.abs() <= REACH)


def normal(rows: int, columns: int, scale: float, generator: torch.Generator | None) -> nn.Parameter:
    """Entries of standard deviation scale / sqrt(columns)."""
    return nn.Parameter(torch.randn(rows, columns, generator=generator) * scale / math.sqrt(columns))


def by_group(x: Float[Tensor, "row token n"], groups: int) -> Float[Tensor, "group tokens n"]:
    """The rows of each group behind one another."""
    return rearrange(x, "(g row) t n -> g (row t) n", g=groups)


def by_row(x: Float[Tensor, "group tokens n"], rows: int) -> Float[Tensor, "row token n"]:
    """The inverse of `by_group`."""
    return rearrange(x, "g (row t) n -> (g row) t n", row=rows // len(x))


AnySite = TypeVar("AnySite", bound=Site)


class Sites(nn.Module, Generic[AnySite]):
    """The sites of one base model, by the adapted module's full name: those where something is written, and those that only read."""

    def __init__(self, names: Sequence[str], sites: Sequence[AnySite], readers: Mapping[str, Site] | None = None) -> None:
        super().__init__()
        self.names, self.reader_names = list(names), list(readers or {})
        self._sites, self._readers = nn.ModuleList(sites), nn.ModuleList((readers or {}).values())

    def items(self) -> list[tuple[str, AnySite]]:
        """(module name, site) where something is written, lowest layer first."""
        return list(zip(self.names, cast(Sequence[AnySite], self._sites), strict=True))

    def everywhere(self) -> list[tuple[str, Site]]:
        """(module name, site) of all that is attached."""
        return [*self.items(), *zip(self.reader_names, cast(Sequence[Site], self._readers), strict=True)]

    @property
    def reader_weights(self) -> int:
        """Parameters of the static reader at all modules."""
        return sum(p.numel() for p in self.reader_parameters())

    def reader_parameters(self) -> list[nn.Parameter]:
        """The factors of the static reader at all modules."""
        return [p for _, site in self.everywhere() for p in (site.reader_A, site.reader_B)]

    @contextmanager
    def reader_held(self) -> Iterator[None]:
        """No gradient reaches the reader through what is computed meanwhile."""
        learning = [p for p in self.reader_parameters() if p.requires_grad]
        try:
            for p in learning:
                p.requires_grad_(False)
            yield
        finally:
            for p in learning:
                p.requires_grad_(True)

    def __getitem__(self, name: str) -> AnySite:
        return cast(AnySite, self._sites[self.names.index(name)])
