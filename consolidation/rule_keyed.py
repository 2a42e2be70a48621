"""The keyed rule: a pass reads every active chunk with what that chunk has left so far, and solves for the new fast weights. Forward only.

Needs a trained protocol. A chunk's statistics of the new pass take the place of those of its last pass, which they correct. They depend on
no other chunk: the fast weights of any set of chunks follow from the sum over the set, in any order, and a chunk can be taken out again
without a trace, after any number of passes. Earlier sleeps are not overwritten and nothing is replayed.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.observe import observe
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.rule import PassReport, WriteRule
from nrem.consolidation.site import Seen
from nrem.consolidation.sleep_texts import SleepTexts
from nrem.consolidation.split_model import SplitModel
from nrem.memory.chunk import Chunk
from nrem.memory.fast_weights import FastWeights
from nrem.memory.statistics import Statistics, WrittenStatistics


class KeyedRidgeRule(WriteRule):
    """Holds the statistics of every chunk of one memory; see the module's text."""

    def __init__(self, split: SplitModel, fast: FastWeights, protocol: Protocol, ledger: Ledger, cost: CostModel) -> None:
        assert protocol.keyed is not None, "the keyed rule comes with a trained protocol"
        self.split, self.fast, self.protocol, self.parameters = split, fast, protocol, protocol.keyed
        self.ledger, self.cost = ledger, cost
        self._written = self.parameters.nothing_written()
        self._material = SleepTexts(split, protocol, ledger, cost)

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
                    length = len(self._material.ids[index])
                    part = Seen(*(t[row : row + 1, :length] for t in (seen.seen.hidden, seen.seen.error, seen.seen.valid)))
                    one = self.parameters.statistics({name: x[row : row + 1, :length] for name, x in seen.inputs.items()}, part)
                    chunk = {name: Statistics(s.C[0], s.M[0]) for name, s in one.items()}
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
