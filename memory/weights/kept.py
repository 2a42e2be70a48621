"""Fast weights that stay in their file: mapped, and opened, whole and in float32, when a question goes to them.

A long document has hundreds of adapters, and a question goes to one. What is mapped costs no memory that the system could not have back,
and outlives its file: a folder that is replaced or deleted meanwhile changes nothing here. Nobody writes into what is opened.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import ReferenceType, ref

import torch
from torch import Tensor

from nrem.memory.weights.fast_weights import Factors, FastWeights

RECENT = 4
"""Adapters that stay open when nobody works with them any more, of whatever memory."""

_recent: deque[FastWeights] = deque(maxlen=RECENT)


@dataclass(eq=False)
class KeptWeights:
    """As a file holds them: `own` in its float type and, where there is a `first`, without the leading columns that are that one's."""

    own: FastWeights
    first: "KeptWeights | None" = None
    shared: Mapping[str, int] = field(default_factory=dict)
    """How many leading columns of each module are those of `first`, for each of its modules."""
    _now: "ReferenceType[FastWeights] | None" = None

    @property
    def modules(self) -> set[str]:
        """The full names of the adapted modules."""
        return set(self.own.factors) | set(self.shared)

    @property
    def num_bytes(self) -> int:
        """Size of the values in files."""
        return sum(tensor.nbytes for tensor in self.own.tensors().values())

    def opened(self) -> FastWeights:
        """The same values, whole, in float32; the same object as long as it is open."""
        if (weights := self._now() if self._now else None) is None:
            weights = self._whole()
            self._now = ref(weights)
        if not any(weights is other for other in tuple(_recent)):  # another thread may add one meanwhile
            _recent.append(weights)
        return weights

    def _whole(self) -> FastWeights:
        if self.first is None:
            return self.own.float()
        names = [*self.first.own.factors, *(name for name in self.own.factors if name not in self.first.own.factors)]
        return FastWeights({name: self._joined(name, self.first.own.factors) for name in names}, self.own.transposed)

    def _joined(self, name: str, first: Mapping[str, Factors]) -> Factors:
        parts = [self.own.factors[name]] if name in self.own.factors else []
        if before := first.get(name):
            count = self.shared[name]
            parts.insert(0, Factors(before.A[:count], before.B[:, :count]))
        return Factors(_cat([p.A for p in parts], 0), _cat([p.B for p in parts], 1))


def _cat(parts: list[Tensor], dim: int) -> Tensor:
    """Always a copy."""
    return torch.cat([part.float() for part in parts], dim)
