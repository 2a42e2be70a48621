"""A segment: one adapter of a memory, and what it needs to be changed later.

A memory has one segment, or several where its documents outgrow what one adapter holds. The one that is written into is held in memory,
the others stay in their files until a question goes to them. Knows nothing about documents or questions.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from safetensors.torch import load_file, save_file

from nrem.memory.errors import MemoryFolderError, SleepError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS, WRITTEN
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.kept import KeptWeights
from nrem.memory.weights.shared import load_own, own_bytes, save_own
from nrem.memory.weights.statistics import WrittenStatistics

FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, WRITTEN, STATISTICS)


class Segment:
    """Fast weights, and the statistics that they follow from where the write rule has some."""

    def __init__(self, weights: FastWeights | KeptWeights, written: WrittenStatistics | None = None) -> None:
        self._held, self.written = weights, written

    @property
    def weights(self) -> FastWeights:
        """Held in memory, or opened now: then they are to be read only, see `to_write`."""
        return self._held.opened() if isinstance(self._held, KeptWeights) else self._held

    @property
    def kept(self) -> bool:
        """Whether the weights stay in their file."""
        return isinstance(self._held, KeptWeights)

    @property
    def modules(self) -> set[str]:
        """The full names of the adapted modules."""
        return self._held.modules if isinstance(self._held, KeptWeights) else set(self._held.factors)

    def to_write(self) -> "Segment":
        """The same, held in memory, and nobody else's where it was in a file."""
        return Segment(self.weights.copy(), self.written) if self.kept else self

    def renumbered(self, shift: Mapping[int, int]) -> "Segment":
        """The same weights, the chunks under other numbers."""
        return Segment(self._held, self.written.renumbered(shift) if self.written else None)

    def num_bytes(self, first: "Segment | None" = None) -> int:
        """Size of the values that files hold, without what is in the memory's `first` segment."""
        if isinstance(self._held, KeptWeights) and self._held.first is (first._held if first else None):
            return self._held.num_bytes
        return own_bytes(self.weights, first.weights) if first else self.weights.num_bytes

    def of_chunks(self, shares: Mapping[int, float]) -> FastWeights:
        """The fast weights of these chunks alone, each counted by its share, from their statistics."""
        assert self.written is not None, "only what has statistics can be told apart"
        weights = self.weights
        B = self.written.solved(weights, shares)
        return FastWeights({n: Factors(f.A, B[n]) for n, f in weights.factors.items()}, weights.transposed)

    def save(self, folder: Path, base_name: str, revision: str, first: "Segment | None" = None) -> None:
        """Write the files into an existing folder, without what is in the memory's `first` segment.

        Raises `SleepError` where a value is not finite.
        """
        weights = self.weights
        check_finite_tensors(weights.tensors(), "the adapter", SleepError)
        if first is None or not save_own(weights.as_saved(), first.weights.as_saved(), folder):
            weights.save(folder, base_name, revision)
        if self.written is not None and self.written.chunks:
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in self.written.tensors().items()}
            check_finite_tensors(tensors, "what the sleep wrote", SleepError)
            save_file(tensors, folder / STATISTICS, metadata={"format": "pt"})

    @classmethod
    def load(cls, folder: Path, *, statistics: bool = True, first: "Segment | None" = None) -> Self:
        """Map what `save` wrote, `statistics` where they belong to it, and without the memory's `first` segment an adapter that is whole by
        itself; raises `MemoryFolderError` naming the file that cannot be read, does not fit the others, or holds values that are not
        finite."""
        name = ADAPTER_WEIGHTS if first is None else WRITTEN
        with _readable(folder, name):
            kept = KeptWeights(FastWeights.load(folder)) if first is None else load_own(folder, first.in_file())
            check_finite_tensors(kept.own.tensors(), f"{folder}: {name}", MemoryFolderError)
        path = folder / STATISTICS
        if not statistics or not path.exists():
            return cls(kept)
        with _readable(folder, STATISTICS):
            tensors = load_file(path)
            check_finite_tensors(tensors, f"{folder}: {STATISTICS}", MemoryFolderError)
            written = WrittenStatistics.from_tensors(tensors)
            written.check_fits(kept.opened())
        return cls(kept, written)

    def in_file(self) -> KeptWeights:
        """The weights as a later segment builds on them."""
        return self._held if isinstance(self._held, KeptWeights) else KeptWeights(self._held)


@contextmanager
def _readable(folder: Path, name: str) -> Iterator[None]:
    """Whatever a library raises of a file means that it cannot be read."""
    try:
        yield
    except MemoryFolderError:
        raise
    except Exception as error:
        raise MemoryFolderError(f"{folder}: {name} cannot be read ({error}); restore it or sleep again") from error
