"""The delta write: token after token, what the fast weights say under a key is moved towards what they should say.

Axes: t tokens, i inputs of an adapted module, o its outputs, r rank. Before a chunk, `B <- alpha B` with alpha learned near 1; then over
its tokens in order, with keys of unit length and write strengths beta_t in (0, 1),

    B <- B + beta_t (v_t - B k_t) k_t^T                                   (arXiv 2102.11174; gated: arXiv 2412.06464)

Every step is affine in B, so a whole chunk is: with K (t r) and V (t o) of all its tokens,

    G = (I + strict_upper(K K^T diag(beta)))^-1 K        W = diag(beta) G        B <- B (I - K^T W) + V^T W

one triangular solve with r right-hand sides in place of a loop over tokens. That is the exact solution of DeltaNet (arXiv 2406.06484),
(I + strict_lower(diag(beta) K K^T)) U = diag(beta) (V - K B^T) and B <- B + U^T K, taken from the other side: U has o columns, some ten
times as many, and needs B. Neither V nor U is formed.

A pass reads all chunks with the fast weights as they were before it. Its errors are what is still wrong then, so what a token should be
told is what the fast weights said there, B_read k_t, and the error on top; of a chunk that earlier passes have written only a learned
share of it.

    B <- alpha B,    then    B <- B - (B - B_read) erase + share add,    erase = K^T W,    add = sum_t v_t w_t^T

Later tokens and later chunks overwrite earlier ones: unlike ridge, the order matters, and nothing can be taken out again.
Knows nothing about text or training.

The delta rule: a pass reads every active chunk with the fast weights as they are, then writes them in reading order. Forward only.

Needs a trained protocol. Chunks of earlier sleeps are read along and written first: what is written later overwrites, and what was written
cannot be told apart again, so a memory has no statistics.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor, nn

from nrem.consolidation.read.observe import Seen, observe
from nrem.consolidation.write.learned import LearnedWrite, Sizes
from nrem.consolidation.write.reading import Reading
from nrem.consolidation.write.rule import PassReport, RuleParts, WriteRule
from nrem.consolidation.write.site import REACH, KeyedSite
from nrem.memory.stream.chunk import Chunk

KEEP_LOGIT = 4.6
"""alpha = 0.99 at first."""


class Update(NamedTuple):
    """What the tokens of a text do to B at one module, whatever B is."""

    erase: Float[Tensor, "*batch rank rank"]
    add: Float[Tensor, "*batch out rank"]


def combined_keys(keys: Float[Tensor, "*batch token rank"], strength: Float[Tensor, "*batch token"]) -> Float[Tensor, "*batch token rank"]:
    """W of the formulas above: under which keys each value is in B once all tokens are written. Differentiable."""
    overlap = keys @ (keys * strength[..., None]).mT  # (t s): k_t . beta_s k_s
    G = torch.linalg.solve_triangular(overlap, keys, upper=True, unitriangular=True)
    return strength[..., None] * G


class DeltaSite(KeyedSite):
    """What is learned at one adapted module."""

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, d_model, rank, reader_rank, generator)
        self.keep_logit = nn.Parameter(torch.tensor(KEEP_LOGIT))
        self.share = nn.Parameter(torch.tensor(0.3))
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("length", torch.tensor(1.0))

    def settle(self, x: Float[Tensor, "token i"]) -> None:
        """Take the typical length of A x, the key that is read, from what enters the module when ordinary text is read."""
        self.length = (x @ self.A.to(x.dtype).T).float().pow(2).sum(-1).mean().sqrt()

    def update(self, x: Float[Tensor, "batch token i"], seen: Seen) -> Update:
        """What these texts do, one entry a row. Values are scaled by gain / length, for B is read with A x and written with unit keys."""
        keys = F.normalize(self.keys(x), dim=-1)
        W = combined_keys(keys, self.strength(seen))
        return Update(einsum(keys, W, "b t r, b t s -> b r s"), self.gain / self.length * self.values_under(W, seen))

    def keep(self) -> Tensor:
        """alpha."""
        return torch.sigmoid(self.keep_logit)

    def written(
        self, B: Float[Tensor, "*batch out rank"], read: Float[Tensor, "*batch out rank"], update: Update, again: bool
    ) -> Float[Tensor, "*batch out rank"]:
        """B after a chunk that was read with `read`; `again`: an earlier pass has written it."""
        B = self.keep() * B
        return B - (B - read) @ update.erase + (self.share * update.add if again else update.add)


class DeltaParameters(LearnedWrite[DeltaSite]):
    """The sites of one base model."""

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        shapes = sizes.modules.values()
        return cls(sizes, [DeltaSite(i, o, sizes.d_model, sizes.rank, sizes.reader_rank, generator) for i, o in shapes])

    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        rows = reading.memories
        fast = {name: site.W2.new_zeros(rows, site.d_out, site.rank) for name, site in self.items()}
        for number in range(passes):
            with reading.reads(number):
                seen = reading.observe(fast if number else None)
            with reading.writes(number, passes):
                fast = {n: self._after_pass(s, fast[n], s.update(seen.inputs[n], seen.seen), number > 0) for n, s in self.items()}
        return fast

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
        for name, x in inputs.items():
            self[name].settle(x)

    @staticmethod
    def _after_pass(site: DeltaSite, read: Tensor, texts: Update, again: bool) -> Tensor:
        """The texts of each memory, one after the other."""
        B = read
        for erase, add in zip(*(rearrange(part, "(m n) a r -> n m a r", m=len(read)) for part in texts), strict=True):
            B = site.written(B, read, Update(erase, add), again)
        return B


class DeltaRule(WriteRule):
    """Writes into the fast weights alone; see the module's text."""

    uses = frozenset({"sleep.replay"})

    def __init__(self, parts: RuleParts) -> None:
        assert isinstance(parts.learned, DeltaParameters), "a row of RULES goes with what it learns"
        self.split, self.fast, self.parameters, self.ledger, self.cost = parts.split, parts.fast, parts.learned, parts.ledger, parts.cost
        self._material = parts.texts()
        self._replay: list[int] = []
        self._known: set[int] = set()  # chunks that an earlier pass has written

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._material.begin([*replay, *chunks])
        self._replay = [chunk.index for chunk in replay]
        self._known.update(self._replay)

    def end(self) -> None:
        self._material.end()
        self._replay = []

    def next_pass_fet(self, active: Sequence[int]) -> float:
        todo = self._read_list(active)
        return sum(self._fet(group) for group in self._material.groups(todo)) + self._material.unread_fet(todo)

    @torch.no_grad()
    def write(self, active: Sequence[int]) -> PassReport:
        todo, loss = self._read_list(active), dict[int, float]()
        found: dict[int, dict[str, Update]] = {}
        for group in self._material.groups(todo):
            texts, lower = self._material.texts(group), self._material.lower(group)
            with self.ledger.debit("passes", self._fet(group)):
                seen = observe(self.split, texts, lower, self.parameters.names, self.parameters.error_vocabulary)
                for row, index in enumerate(group):  # one by one: the solve is as large as the text, not as the longest of its batch
                    one = seen.row(row, len(self._material.ids[index]))
                    found[index] = {name: site.update(one.inputs[name].float(), one.seen) for name, site in self.parameters.items()}
                loss.update(zip(group, seen.loss.tolist(), strict=True))
        for name, site in self.parameters.items():
            written = self.fast.factors[name].B[:, self.parameters.reader_rank :]
            read = B = written.clone()
            for index in todo:
                update = Update(*(part[0] for part in found[index][name]))
                B = site.written(B, read, update, index in self._known)
            written.copy_(B)
        self._known.update(todo)
        return PassReport(loss={index: loss[index] for index in active}, tokens=self._material.tokens(todo))

    def state(self) -> dict[str, Tensor]:
        return {"known": torch.tensor(sorted(self._known), dtype=torch.long)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._known = set(state["known"].tolist())

    def _read_list(self, active: Sequence[int]) -> list[int]:
        """In the order in which the sleep was given its chunks, replay first."""
        return [index for index in self._material.ids if index in {*self._replay, *active}]

    def _fet(self, group: Sequence[int]) -> float:
        """The upper layers, the head forward and once more for the expected embedding, the adapter, and what is written."""
        tokens = self._material.width(group) * len(group)
        lengths = [len(self._material.ids[i]) for i in group]
        flops = sum(_update_flops(site, length) for _, site in self.parameters.items() for length in lengths)
        fet = self._material.upper_fet(group, heads=2) + self.cost.adapter(tokens, self.fast.num_parameters)
        return fet + flops / self.cost.flops_per_fet


def _update_flops(site: DeltaSite, tokens: int) -> float:
    """Keys, gate, the overlap of all pairs of tokens, its triangular solve, the sums, and B's own change."""
    r, o, d, hidden = site.rank, site.d_out, site.W2.shape[1], len(site.W1_in)
    keys = 2 * tokens * (site.A.numel() + site.D_in.numel() + site.D_out.numel() + 2 * d)
    solve = (2 + 1) * tokens**2 * r
    sums = tokens * (2 * r * r + 4 * d * r + 2 * (2 * REACH + 1) * r)
    return keys + solve + sums + 2 * r * (d * hidden + o * hidden + o * d) + 2 * o * r * r
