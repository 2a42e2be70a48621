"""A segment: one adapter of a memory, and what it needs to be changed later.

A memory has one segment, or several where its documents outgrow what one adapter holds. Knows nothing about documents or questions.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors.torch import load_file, save_file

from nrem.memory.errors import MemoryFolderError, SleepError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS, WRITTEN
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.shared import load_own, save_own
from nrem.memory.weights.statistics import WrittenStatistics

FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, WRITTEN, STATISTICS)


@dataclass
class Segment:
    """Fast weights, and the statistics that they follow from where the write rule has some."""

    weights: FastWeights
    written: WrittenStatistics | None = None

    def of_chunks(self, shares: Mapping[int, float]) -> FastWeights:
        """The fast weights of these chunks alone, each counted by its share, from their statistics."""
        assert self.written is not None, "only what has statistics can be told apart"
        B = self.written.solved(self.weights, shares)
        return FastWeights({n: Factors(f.A, B[n]) for n, f in self.weights.factors.items()}, self.weights.transposed)

    def save(self, folder: Path, base_name: str, revision: str, first: FastWeights | None = None) -> None:
        """Write the files into an existing folder, without what is in `first`, that of the memory's first segment.

        Raises `SleepError` where a value is not finite.
        """
        check_finite_tensors(self.weights.tensors(), "the adapter", SleepError)
        if first is None or not save_own(self.weights.as_saved(), first.as_saved(), folder):
            self.weights.save(folder, base_name, revision)
        if self.written is not None and self.written.chunks:
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in self.written.tensors().items()}
            check_finite_tensors(tensors, "what the sleep wrote", SleepError)
            save_file(tensors, folder / STATISTICS, metadata={"format": "pt"})

    @classmethod
    def load(cls, folder: Path, *, statistics: bool = True, first: FastWeights | None = None) -> Self:
        """Read what `save` wrote, `statistics` where they belong to it, and without `first` an adapter that is whole by itself; raises
        `MemoryFolderError` naming the file that cannot be read, does not fit the others, or holds values that are not finite."""
        name = ADAPTER_WEIGHTS if first is None else WRITTEN
        with _readable(folder, name):
            weights = FastWeights.load(folder) if first is None else load_own(folder, first)
        check_finite_tensors(weights.tensors(), f"{folder}: {name}", MemoryFolderError)
        path = folder / STATISTICS
        if not statistics or not path.exists():
            return cls(weights)
        with _readable(folder, STATISTICS):
            tensors = load_file(path)
            check_finite_tensors(tensors, f"{folder}: {STATISTICS}", MemoryFolderError)
            written = WrittenStatistics.from_tensors(tensors)
            written.check_fits(weights)
        return cls(weights, written)


@contextmanager
def _readable(folder: Path, name: str) -> Iterator[None]:
    """Whatever a library raises of a file means that it cannot be read."""
    try:
        yield
    except MemoryFolderError:
        raise
    except Exception as error:
        raise MemoryFolderError(f"{folder}: {name} cannot be read ({error}); restore it or sleep again") from error
