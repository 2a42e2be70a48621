"""The delta rule: a pass reads every active chunk with the fast weights as they are, then writes them in reading order. Forward only.

Needs a trained protocol. Chunks of earlier sleeps are read along and written first: what is written later overwrites, and what was written
cannot be told apart again, so a memory has no statistics.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.delta import DeltaParameters, DeltaSite, Update
from nrem.consolidation.observe import observe
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.rule import PassReport, WriteRule
from nrem.consolidation.site import REACH, Seen
from nrem.consolidation.sleep_texts import SleepTexts
from nrem.consolidation.split_model import SplitModel
from nrem.memory.chunk import Chunk
from nrem.memory.fast_weights import FastWeights


class DeltaRule(WriteRule):
    """Writes into the fast weights alone; see the module's text."""

    def __init__(self, split: SplitModel, fast: FastWeights, protocol: Protocol, ledger: Ledger, cost: CostModel) -> None:
        assert isinstance(protocol.learned, DeltaParameters), "the delta rule comes with a trained protocol"
        self.split, self.fast, self.parameters, self.ledger, self.cost = split, fast, protocol.learned, ledger, cost
        self._material = SleepTexts(split, protocol, ledger, cost)
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
                    rows, tokens = slice(row, row + 1), slice(len(self._material.ids[index]))
                    part = Seen(*(t[rows, tokens] for t in (seen.seen.hidden, seen.seen.error, seen.seen.valid)))
                    inputs = {name: x[rows, tokens].float() for name, x in seen.inputs.items()}
                    found[index] = {name: site.update(inputs[name], part) for name, site in self.parameters.items()}
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
