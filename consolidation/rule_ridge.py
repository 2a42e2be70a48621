"""The ridge rule: a pass reads every active chunk with what that chunk has left so far, and solves for the new fast weights. Forward only.

Needs a trained protocol. A chunk's statistics of the new pass take the place of those of its last pass, which they correct. They depend on
no other chunk: the fast weights of any set of chunks follow from the sum over the set, in any order, and a chunk can be taken out again
without a trace, after any number of passes. Earlier sleeps are not overwritten and nothing is replayed.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.observe import Texts, observe
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.rule import PassReport, WriteRule
from nrem.consolidation.site import Seen
from nrem.consolidation.split_model import SplitModel
from nrem.memory.chunk import Chunk
from nrem.memory.fast_weights import FastWeights
from nrem.memory.statistics import Statistics, WrittenStatistics

BATCH_TOKENS = 2048


class RidgeRule(WriteRule):
    """Holds the statistics of every chunk of one memory; see the module's text."""

    def __init__(self, split: SplitModel, fast: FastWeights, protocol: Protocol, ledger: Ledger, cost: CostModel) -> None:
        assert protocol.ridge is not None, "the ridge rule comes with a trained protocol"
        self.split, self.fast, self.protocol, self.parameters = split, fast, protocol, protocol.ridge
        self.ledger, self.cost = ledger, cost
        self._written = self.parameters.nothing_written()
        self._ids: dict[int, list[int]] = {}
        self._groups: list[list[int]] = []
        self._lower: dict[int, Tensor | None] = {}

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._ids = {chunk.index: self.protocol.chunk_ids(chunk.title, chunk.text) for chunk in chunks}
        self._groups = []
        for index in sorted(self._ids, key=lambda i: (len(self._ids[i]), i)):
            if not self._groups or len(self._ids[index]) * (len(self._groups[-1]) + 1) > BATCH_TOKENS:
                self._groups.append([])
            self._groups[-1].append(index)

    def end(self) -> None:
        self._ids, self._groups, self._lower = {}, [], {}

    def next_pass_fet(self, active: Sequence[int]) -> float:
        parts = self._active_groups(active)
        unread = [g for g in self._groups if g[0] not in self._lower and set(g) & set(active)]
        return sum(self._fet(part) for part in parts) + sum(self._lower_fet(group) for group in unread)

    @torch.no_grad()
    def write(self, active: Sequence[int]) -> PassReport:
        loss: dict[int, float] = {}
        found: dict[int, dict[str, Statistics]] = {}
        for group in self._active_groups(active):
            texts, lower = self._texts(group), self._lower_of(group)
            with self.ledger.debit("passes", self._fet(group)):
                each = [self._written.solved(self.fast, [index]) for index in group]
                rows = {name: torch.stack([B[name] for B in each]) for name in self.parameters.names}
                with self.fast.lending(rows):
                    seen = observe(self.split, texts, lower, self.parameters.names, self.parameters.error_vocabulary)
                float32 = {name: x.float() for name, x in seen.inputs.items()}
                for row, index in enumerate(group):  # one by one: a chunk's statistics must not depend on its neighbours' padding
                    length = len(self._ids[index])
                    part = Seen(*(t[row : row + 1, :length] for t in (seen.seen.hidden, seen.seen.error, seen.seen.valid)))
                    one = self.parameters.statistics({name: x[row : row + 1, :length] for name, x in float32.items()}, part)
                    chunk = {name: Statistics(s.C[0], s.M[0]) for name, s in one.items()}
                    before = {name: B[row, :, self.parameters.reader_rank :] for name, B in rows.items()}
                    left = self.parameters.refined(chunk, before) if index in self._written.chunks else chunk
                    found[index] = {name: s.as_kept() for name, s in left.items()}
                loss.update(zip(group, seen.loss.tolist(), strict=True))
        self._written.chunks |= found
        self._written.write_into(self.fast)
        return PassReport(loss=loss, tokens=sum(len(self._ids[index]) for index in active))

    def alone(self, chunk: int) -> AbstractContextManager[None]:
        return self.fast.lending(self._written.solved(self.fast, [chunk]))

    def state(self) -> dict[str, Tensor]:
        return self._written.tensors()

    def restore(self, state: dict[str, Tensor]) -> None:
        device = self.split.model.device
        self._written = WrittenStatistics.from_tensors({key: tensor.to(device) for key, tensor in state.items()})

    @property
    def written(self) -> WrittenStatistics:
        return self._written

    def go_on(self, written: WrittenStatistics) -> None:
        self.restore(written.tensors())

    def _active_groups(self, active: Sequence[int]) -> list[list[int]]:
        wanted = set(active)
        return [part for group in self._groups if (part := [i for i in group if i in wanted])]

    def _texts(self, group: Sequence[int]) -> Texts:
        return Texts.pad([self._ids[i] for i in group], self.protocol.stop_id, self.split.model.device)

    def _lower_of(self, part: Sequence[int]) -> Tensor | None:
        """Activations below the fast weights, computed for whole groups, so that a sleep that was cut off finds the same."""
        if part[0] not in self._lower:
            group = next(g for g in self._groups if part[0] in g)
            texts = self._texts(group)
            with self.ledger.debit("preparation", self._lower_fet(group)):
                lower = self.split.lower(texts.ids, texts.mask)
            self._lower |= {i: None if lower is None else lower[row, : len(self._ids[i])].clone() for row, i in enumerate(group)}
        rows = [row for i in part if (row := self._lower[i]) is not None]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) if rows else None

    def _lower_fet(self, group: Sequence[int]) -> float:
        width = max(len(self._ids[i]) for i in group)
        return self.cost.forward(width * len(group), width / 2, layers=self.split.cut, head_tokens=0)

    @property
    def _share_of_head(self) -> float:
        """Share of the output head that the error is taken over."""
        size = len(self.split.model.get_output_embeddings().weight)
        return min(self.parameters.error_vocabulary or size, size) / size

    def _fet(self, group: Sequence[int]) -> float:
        """The upper layers, the head forward and once more for the expected embedding, the adapter, and the sums of the statistics."""
        width = max(len(self._ids[i]) for i in group)
        tokens, read = width * len(group), sum(len(self._ids[i]) for i in group)
        upper = self.cost.num_layers - self.split.cut
        fet = self.cost.forward(tokens, width / 2, layers=upper, head_tokens=2 * read * self._share_of_head)
        sums = 0.0
        for _, site in self.parameters.items():
            d_out, d = site.W2.shape
            sums += read * (2 * (site.A.numel() + site.D_in.numel() + site.D_out.numel()) + 2 * site.rank**2 + 4 * d * site.rank)
            sums += len(group) * 2 * d_out * site.rank * (2 * d + site.rank)
        return fet + self.cost.adapter(tokens, self.fast.num_parameters) + sums / self.cost.flops_per_fet
