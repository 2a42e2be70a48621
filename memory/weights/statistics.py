"""Additive statistics of the ridge write: what every chunk left at every adapted module, and what follows from their sum.

Axes: r rank of the written part, o outputs of a module. With C = sum_t beta_t k_t k_t^T and M = sum_t beta_t v_t k_t^T over all tokens
of all chunks,

    B = gain * M (C + Lambda)^-1

so chunks can be added and taken out in any order, exactly: a memory is extended, merged and partly forgotten by arithmetic. Knows
nothing about models, text, or how C and M are computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor

from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.memory.weights.fast_weights import FastWeights

KEPT = torch.bfloat16
"""How M lies in files. It is most of what a memory keeps of a chunk, and its rounding is far below what a pass leaves out."""


class Statistics(NamedTuple):
    """What a chunk leaves at one adapted module; the sum over chunks is what several chunks leave."""

    C: Float[Tensor, "*batch rank rank"]
    M: Float[Tensor, "*batch out rank"]

    def as_kept(self) -> "Statistics":
        """With M rounded to what files hold, so that a memory and its saved copy are solved from the same numbers."""
        return Statistics(self.C, self.M.to(KEPT).to(self.M.dtype))

    def scaled(self, share: float) -> "Statistics":
        """As if every token had been written by so much of its strength."""
        return self if share == 1 else Statistics(share * self.C, share * self.M)

    def __add__(self, other: "Statistics") -> "Statistics":  # type: ignore[override]
        return Statistics(self.C + other.C, self.M + other.M)


def solve(statistics: Statistics, damping: Float[Tensor, "rank rank"], gain: Tensor) -> Float[Tensor, "*batch out rank"]:
    """The B that minimises sum_t beta_t |v_t - B k_t|^2 + tr(B damping B^T), times the gain; differentiable."""
    C, M = statistics
    # damped, C is well conditioned, and for hundreds of right-hand sides the inverse costs a third of a solve
    return gain * M @ torch.linalg.inv(C + damping)


@dataclass
class WrittenStatistics:
    """The statistics of every chunk that one adapter holds, with the two numbers that each module's solution needs."""

    damping: dict[str, Tensor]
    """Lambda of each adapted module, (rank rank), by its name: the protocol's, whatever was written."""
    gain: dict[str, Tensor]
    reader_rank: int
    """Columns of B in front of the written ones; they are the protocol's and never change."""
    chunks: dict[int, dict[str, Statistics]] = field(default_factory=dict)
    """By chunk index, then by module."""

    def write_into(self, fast: FastWeights) -> None:
        """Set the written part of the fast weights to the solution for all chunks; zero where there is none."""
        for name, B in self.solved(fast, dict.fromkeys(sorted(self.chunks), 1.0)).items():
            fast.factors[name].B.copy_(B)

    def solved(self, fast: FastWeights, shares: Mapping[int, float]) -> dict[str, Tensor]:
        """B of every module, (out reader_rank + rank), for these chunks alone, each counted by its share; what was not written is 0."""
        held = [(self.chunks[index], share) for index, share in shares.items() if index in self.chunks]
        out = {}
        for name, damping in self.damping.items():
            B = fast.factors[name].B.clone()
            written = solve(total(s[name].scaled(share) for s, share in held), damping, self.gain[name]) if held else 0.0
            B[:, self.reader_rank :] = written
            out[name] = B
        return out

    def check_fits(self, fast: FastWeights) -> None:
        """Raise `MemoryFolderError` unless modules and shapes are those of these fast weights."""
        for name, damping in self.damping.items():
            if name not in fast.factors:
                raise MemoryFolderError(f"statistics: {name} is not adapted; restore the file, or sleep again")
            out, rank = len(fast.factors[name].B), fast.factors[name].B.shape[1] - self.reader_rank
            shapes = [damping.shape, *(sites[name].C.shape for sites in self.chunks.values() if name in sites)]
            written = [sites[name].M.shape for sites in self.chunks.values() if name in sites]
            square, wide = torch.Size((rank, rank)), torch.Size((out, rank))
            if self.reader_rank < 0 or any(s != square for s in shapes) or any(s != wide for s in written) or self.gain[name].numel() != 1:
                raise MemoryFolderError(f"statistics: {name} has other shapes than the adapter; restore the file, or sleep again")
        for index, sites in self.chunks.items():
            if sites.keys() != self.damping.keys():
                raise MemoryFolderError(f"statistics: chunk {index} lacks a module, or has one too many; restore the file, or sleep again")

    def renumbered(self, indices: Mapping[int, int]) -> Self:
        """The chunks that `indices` names, under their new indices."""
        chunks = {new: self.chunks[old] for old, new in indices.items() if old in self.chunks}
        return type(self)(self.damping, self.gain, self.reader_rank, chunks)

    def joined(self, other: Self) -> Self:
        """Both sets of chunks in one adapter; raises `UsageError` where their protocols differ or an index is in both."""
        same = self.damping.keys() == other.damping.keys() and self.reader_rank == other.reader_rank
        if not same or any(not torch.equal(mine[n], theirs[n]) for mine, theirs in self._pairs(other) for n in mine):
            raise UsageError("merge: the two memories were written by different protocols; sleep again with one of them")
        if both := self.chunks.keys() & other.chunks.keys():
            raise UsageError(f"merge: chunk {min(both)} is in both memories; renumber one of them")
        return type(self)(self.damping, self.gain, self.reader_rank, self.chunks | other.chunks)

    def _pairs(self, other: Self) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        return [(self.damping, other.damping), (self.gain, other.gain)]

    def tensors(self) -> dict[str, Tensor]:
        """As files keep them: `chunk/module/C`, `chunk/module/M` (see `as_kept`), and `solve/module/damping`, `solve/module/gain`."""
        out = {}
        for index, sites in self.chunks.items():
            for name, s in sites.items():
                out[f"{index:06d}/{name}/C"], out[f"{index:06d}/{name}/M"] = s.C, s.M.to(KEPT)
        out |= {f"solve/{name}/damping": value for name, value in self.damping.items()}
        out |= {f"solve/{name}/gain": value for name, value in self.gain.items()}
        return out | {"solve/reader_rank": torch.tensor(self.reader_rank)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """What `tensors` gave; raises `MemoryFolderError` where something is missing."""
        try:
            names = [key.split("/")[1] for key in tensors if key.endswith("/damping")]
            damping = {name: tensors[f"solve/{name}/damping"] for name in names}
            gain = {name: tensors[f"solve/{name}/gain"] for name in names}
            chunks: dict[int, dict[str, Statistics]] = {}
            for key, C in tensors.items():
                if key.endswith("/C"):
                    index, name, _ = key.split("/")
                    chunks.setdefault(int(index), {})[name] = Statistics(C, tensors[f"{index}/{name}/M"].to(C.dtype))
            return cls(damping, gain, int(tensors["solve/reader_rank"]), chunks)
        except KeyError as error:
            raise MemoryFolderError(f"statistics: the tensor {error.args[0]} is missing; restore the file, or sleep again") from None


def total(every: Iterable[Statistics]) -> Statistics:
    """The sum, in the order given."""
    first, *rest = every
    for statistics in rest:
        first = first + statistics
    return first
