"""The keyed write: fast weights as the regularised least-squares map from learned keys of rank r to prediction errors.

Thousands of tokens do not fit into a hundred directions: the ridge rule, which needs no keys, has taken its place. This one reads memories
that were made before, and is compared against.

Axes: b chunks (or memories) of a batch, t tokens, i inputs of an adapted module, o its outputs, r rank. With keys k_t, values v_t and write
strengths beta_t of `site`:

    C = sum_t beta_t k_t k_t^T        M = sum_t beta_t v_t k_t^T        B = gain * M (C + lambda I + mu C_0)^-1

C_0 = E[(A x)(A x)^T] over ordinary text, where a write should say nothing, as in ROME (arXiv 2202.05262): mu tokens of it count
against the text's own. C and M are sums over tokens, so chunks add up, in any order, and can be taken out again.

Knows nothing about text or training.

The keyed rule: a pass reads every active chunk with what that chunk has left so far, and solves for the new fast weights. Forward only.

Needs a trained protocol. A chunk's statistics of the new pass take the place of those of its last pass, which they correct. They depend on
no other chunk: the fast weights of any set of chunks follow from the sum over the set, in any order, and a chunk can be taken out again
without a trace, after any number of passes. Earlier sleeps are not overwritten and nothing is replayed.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Self

import torch
from einops import einsum, reduce
from jaxtyping import Float
from torch import Tensor, nn

from nrem.consolidation.read.observe import Seen, observe
from nrem.consolidation.write.learned import LearnedWrite, Sizes
from nrem.consolidation.write.reading import Reading
from nrem.consolidation.write.rule import PassReport, RuleParts, WriteRule
from nrem.consolidation.write.site import KeyedSite
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.statistics import Statistics, WrittenStatistics, solve

CORRECTION = 0.3
"""Share of the remaining error that a later pass writes (benchmarks/LOG.md)."""
SMALLEST_GAIN = 0.05


class KeyedRidgeSite(KeyedSite):
    """What is learned at one adapted module."""

    def __init__(self, d_in: int, d_out: int, d_model: int, rank: int, reader_rank: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, d_model, rank, reader_rank, generator)
        self.log_lambda, self.log_mu = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(2.0))
        self.gain = nn.Parameter(torch.tensor(0.3))
        self.register_buffer("background", torch.zeros(rank, rank))

    def statistics(self, x: Float[Tensor, "batch token i"], seen: Seen) -> Statistics:
        """What these texts leave here, one entry a row."""
        keys = self.keys(x)
        weighted = keys * self.strength(seen)[..., None]
        return Statistics(einsum(weighted, keys, "b t r, b t s -> b r s"), self.values_under(weighted, seen))

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


class KeyedRidge(LearnedWrite[KeyedRidgeSite]):
    """The sites of one base model."""

    separable, segment_chunks, question_chunks = True, 16, 8

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        shapes = sizes.modules.values()
        return cls(sizes, [KeyedRidgeSite(i, o, sizes.d_model, sizes.rank, sizes.reader_rank, generator) for i, o in shapes])

    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        found = self.left(reading, passes)
        return self.solve({name: _sum_memories(s, reading.memories) for name, s in found.items()})

    def left(self, reading: Reading, passes: int) -> dict[str, Statistics]:
        """What each text leaves after `passes`, one entry a row; a pass rereads it with what it alone has left so far."""
        found: dict[str, Statistics] = {}
        for number in range(passes):
            with reading.reads(number):
                fast = self.solve(found) if number else None
                seen = reading.observe(fast)
            with reading.writes(number, passes):
                now = self.statistics(seen.inputs, seen.seen)
                found = self.refined(now, fast) if fast is not None else now
        return found

    def statistics(self, inputs: dict[str, Tensor], seen: Seen) -> dict[str, Statistics]:
        """Statistics at every site."""
        return {name: site.statistics(inputs[name], seen) for name, site in self.items()}

    def solve(self, statistics: dict[str, Statistics]) -> dict[str, Tensor]:
        """B at every site."""
        return {name: site.solve(statistics[name]) for name, site in self.items()}

    def settle(self, inputs: Mapping[str, Tensor]) -> None:
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


def _sum_memories(statistics: Statistics, memories: int) -> Statistics:
    return Statistics(
        reduce(statistics.C, "(m n) r s -> m r s", "sum", m=memories), reduce(statistics.M, "(m n) o r -> m o r", "sum", m=memories)
    )


class KeyedRule(WriteRule):
    """Holds the statistics of every chunk of one memory; see the module's text."""

    uses = frozenset({"fast_weights.question_chunks"})

    def __init__(self, parts: RuleParts) -> None:
        assert isinstance(parts.learned, KeyedRidge), "a row of RULES goes with what it learns"
        self.split, self.fast, self.parameters, self.ledger, self.cost = parts.split, parts.fast, parts.learned, parts.ledger, parts.cost
        self._written = self.parameters.nothing_written()
        self._material = parts.texts()

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._material.begin(chunks)

    def end(self) -> None:
        self._material.end()

    def next_pass_fet(self, active: Sequence[int]) -> float:
        return sum(self._fet(group) for group in self._material.groups(active)) + self._material.unread_fet(active)

    @torch.no_grad()
    def write(self, active: Sequence[int]) -> PassReport:
        loss: dict[int, float] = {}
        found: dict[int, dict[str, Statistics]] = {}
        for group in self._material.groups(active):
            texts, lower = self._material.texts(group), self._material.lower(group)
            with self.ledger.debit("passes", self._fet(group)):
                each = [self._written.solved(self.fast, {index: 1.0}) for index in group]
                rows = {name: torch.stack([B[name] for B in each]) for name in self.parameters.names}
                with self.fast.lending(rows):
                    seen = observe(self.split, texts, lower, self.parameters.names, self.parameters.error_vocabulary)
                for row, index in enumerate(group):  # one by one: a chunk's statistics must not depend on its neighbours' padding
                    one = seen.row(row, len(self._material.ids[index]))
                    statistics = self.parameters.statistics(one.inputs, one.seen)
                    chunk = {name: Statistics(s.C[0], s.M[0]) for name, s in statistics.items()}
                    before = {name: B[row, :, self.parameters.reader_rank :] for name, B in rows.items()}
                    left = self.parameters.refined(chunk, before) if index in self._written.chunks else chunk
                    found[index] = {name: s.as_kept() for name, s in left.items()}
                loss.update(zip(group, seen.loss.tolist(), strict=True))
        self._written.chunks |= found
        self._written.write_into(self.fast)
        return PassReport(loss=loss, tokens=self._material.tokens(active))

    def alone(self, chunk: int) -> AbstractContextManager[None]:
        return self.fast.lending(self._written.solved(self.fast, {chunk: 1.0}))

    def state(self) -> dict[str, Tensor]:
        return self._written.tensors()

    def restore(self, state: dict[str, Tensor]) -> None:
        device = self.split.model.device
        self._written = WrittenStatistics.from_tensors({key: tensor.to(device) for key, tensor in state.items()})

    @property
    def written(self) -> WrittenStatistics:
        return self._written

    def go_on(self, written: WrittenStatistics | None, passes: Mapping[int, int]) -> None:
        if written is not None:
            self.restore(written.tensors())

    def _fet(self, group: Sequence[int]) -> float:
        """The upper layers, the head forward and once more for the expected embedding, the adapter, and the sums of the statistics."""
        material = self._material
        tokens, read = material.width(group) * len(group), material.tokens(group)
        sums = 0.0
        for _, site in self.parameters.items():
            d_out, d = site.W2.shape
            sums += read * (2 * (site.A.numel() + site.D_in.numel() + site.D_out.numel()) + 2 * site.rank**2 + 4 * d * site.rank)
            sums += len(group) * 2 * d_out * site.rank * (2 * d + site.rank)
        return material.upper_fet(group, heads=2) + self.cost.adapter(tokens, self.fast.num_parameters) + sums / self.cost.flops_per_fet
