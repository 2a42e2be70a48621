"""The trained gradient write: a pass descends the next-token loss of a memory's texts, with learned step sizes.

Pass k, for one memory with the fast weights B of all adapted modules m, which start at 0:

    g = d (mean next-token loss) / d B        B_m <- B_m - eta[k, m] g_m / |g|        |g| over all modules together

Learned are eta, A, under whose keys B is read, and the static reader. First order takes g as given: A learns from how B is read, eta from
where the steps lead. Second order differentiates g as well (MAML, arXiv 1703.03400): A learns what gradients it gives. Knows nothing about
text or training.

The trained gradient rule: a pass descends the next-token loss of all active chunks at once, with the protocol's step sizes.

The chunks of earlier sleeps that are read along count like the others. Nothing is kept of single chunks. For a model without a trained
protocol there is `study`.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nrem.consolidation.read.observe import next_token_loss
from nrem.consolidation.read.split_model import ends_layer
from nrem.consolidation.write.learned import LearnedWrite, Sizes
from nrem.consolidation.write.reading import Reading
from nrem.consolidation.write.rule import PassReport, RuleParts, WriteRule
from nrem.consolidation.write.site import LowRankSite
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.layers import lowest_layer

STEP_SIZE = 1.0
"""eta of every pass at first."""
SMALLEST_NORM = 1e-12


class DescentSite(LowRankSite):
    """What is learned at one adapted module."""

    def __init__(self, d_in: int, d_out: int, rank: int, reader_rank: int, passes: int, generator: torch.Generator | None = None) -> None:
        super().__init__(d_in, d_out, rank, reader_rank, 1.0, generator)
        self.log_steps = nn.Parameter(torch.full((passes,), math.log(STEP_SIZE)))

    def step_size(self, number: int) -> Tensor:
        """eta of pass `number`, from 0; passes beyond those trained take the last one's."""
        return self.log_steps[min(number, len(self.log_steps) - 1)].exp()


class DescentParameters(LearnedWrite[DescentSite]):
    """The sites of one base model."""

    steps_by_pass = True

    @classmethod
    def create(cls, sizes: Sizes, generator: torch.Generator | None = None) -> Self:
        shapes = sizes.modules.values()
        return cls(sizes, [DescentSite(i, o, sizes.rank, sizes.reader_rank, sizes.max_passes, generator) for i, o in shapes])

    def write(self, reading: Reading, passes: int) -> dict[str, Tensor]:
        rows = reading.memories
        fast = {name: site.A.new_zeros(rows, site.d_out, site.rank) for name, site in self.items()}
        second = reading.order == 2 and torch.is_grad_enabled()
        for number in range(passes):
            gradients = self._gradients(reading, fast, second)
            fast = self.stepped(fast, gradients, number)
        return fast

    def _gradients(self, reading: Reading, fast: Mapping[str, Tensor], second: bool) -> dict[str, Tensor]:
        """Of every memory's loss, with respect to its own B; memories do not touch one another, so the sum of losses gives them all."""
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH) if second else nullcontext():  # others are differentiated once only
            leaves = {name: B if second and B.requires_grad else B.detach().requires_grad_() for name, B in fast.items()}
            loss = reading.loss(leaves).sum()
            return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()), create_graph=second), strict=True))

    def stepped(self, fast: Mapping[str, Tensor], gradients: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        """B after pass `number`, (*memory out rank) at every site."""
        squares = torch.stack([g.pow(2).sum((-2, -1)) for g in gradients.values()]).sum(0)
        unit = squares.clamp_min(SMALLEST_NORM**2).rsqrt()[..., None, None]
        return {name: fast[name] - site.step_size(number) * gradients[name] * unit for name, site in self.items()}


class DescentRule(WriteRule):
    """Passes are counted anew in every sleep; see the module's text."""

    uses = frozenset({"sleep.replay"})

    def __init__(self, parts: RuleParts) -> None:
        assert isinstance(parts.learned, DescentParameters), "a row of RULES goes with what it learns"
        self.split, self.fast, self.parameters, self.ledger, self.cost = parts.split, parts.fast, parts.learned, parts.ledger, parts.cost
        self._material = parts.texts()
        self._layers_back = self.cost.num_layers - self.split.cut - int(ends_layer(self.split, list(self.fast.factors)))
        self._replay: list[int] = []
        self._passes = 0  # of this sleep

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._material.begin([*replay, *chunks])
        self._replay = [chunk.index for chunk in replay]
        self._passes = 0

    def end(self) -> None:
        self._material.end()
        self._replay = []

    def next_pass_fet(self, active: Sequence[int]) -> float:
        todo = [*self._replay, *active]
        return sum(self._fet(group) for group in self._material.groups(todo)) + self._material.unread_fet(todo)

    def write(self, active: Sequence[int]) -> PassReport:
        todo, loss = [*self._replay, *active], dict[int, float]()
        predicted = self._material.tokens(todo) - len(todo)
        tensors = {name: factors.B for name, factors in self.fast.factors.items()}
        gradients = {name: torch.zeros_like(B) for name, B in tensors.items()}
        for group in self._material.groups(todo):
            lower = self._material.lower(group)
            with self.ledger.debit("passes", self._fet(group)):
                each, found = self._descend(group, lower, tensors)
            for name, gradient in gradients.items():
                gradient.add_(found[name], alpha=1 / predicted)
            loss.update(zip(group, each, strict=True))
        written = {name: B[:, self.parameters.reader_rank :] for name, B in tensors.items()}
        with torch.no_grad():
            ours = {name: gradient[:, self.parameters.reader_rank :] for name, gradient in gradients.items()}
            for name, B in self.parameters.stepped(written, ours, self._passes).items():
                written[name].copy_(B)
        self._passes += 1
        return PassReport(loss={index: loss[index] for index in active}, tokens=self._material.tokens(todo))

    def _descend(self, group: Sequence[int], lower: Tensor | None, tensors: dict[str, Tensor]) -> tuple[list[float], dict[str, Tensor]]:
        """Mean loss of each text, and the gradients of the summed loss of all tokens."""
        for B in tensors.values():
            B.requires_grad_(True)
        try:
            loss, valid = next_token_loss(self.split, self._material.texts(group), lower, self.parameters.error_vocabulary)
            gradients = torch.autograd.grad(loss.sum(), list(tensors.values()))
        finally:
            for B in tensors.values():
                B.requires_grad_(False)
        return (loss.detach().sum(1) / valid.sum(1).clamp_min(1)).tolist(), dict(zip(tensors, gradients, strict=True))

    def state(self) -> dict[str, Tensor]:
        return {"passes": torch.tensor(self._passes)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._passes = int(state["passes"])

    def _fet(self, group: Sequence[int]) -> float:
        """Forward, and back to the lowest adapted module; the gradients of B there and above, of its keys and of its inputs above only."""
        width, material = self._material.width(group), self._material
        tokens = width * len(group)
        fet = material.upper_fet(group, heads=1) + self.cost.adapter(tokens, self.fast.num_parameters)
        head_tokens = material.tokens(group) * material.share_of_head
        fet += self.cost.backward(tokens, width / 2, layers=self._layers_back, head_tokens=head_tokens, adapter_weights=0)
        above = [f for name, f in self.fast.factors.items() if lowest_layer(self.split.model, [name]) > self.split.cut]
        products = sum(f.B.numel() for f in self.fast.factors.values()) + sum(f.A.numel() + f.B.numel() for f in above)
        return fet + self.cost.adapter(tokens, products)
