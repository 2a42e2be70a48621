"""The trained gradient rule: a pass descends the next-token loss of all active chunks at once, with the protocol's step sizes.

The chunks of earlier sleeps that are read along count like the others. Nothing is kept of single chunks. For a model without a trained
protocol there is `rule_gradient`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.descent import DescentParameters
from nrem.consolidation.observe import next_token_loss
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.rule import PassReport, WriteRule
from nrem.consolidation.rule_gradient import ends_layer
from nrem.consolidation.sleep_texts import SleepTexts
from nrem.consolidation.split_model import SplitModel
from nrem.memory.chunk import Chunk
from nrem.memory.fast_weights import FastWeights
from nrem.memory.layers import lowest_layer


class DescentRule(WriteRule):
    """Passes are counted anew in every sleep; see the module's text."""

    def __init__(self, split: SplitModel, fast: FastWeights, protocol: Protocol, ledger: Ledger, cost: CostModel) -> None:
        assert isinstance(protocol.learned, DescentParameters), "its step sizes are a trained protocol's"
        self.split, self.fast, self.parameters, self.ledger, self.cost = split, fast, protocol.learned, ledger, cost
        self._material = SleepTexts(split, protocol, ledger, cost)
        self._layers_back = cost.num_layers - split.cut - int(ends_layer(split, fast))
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
