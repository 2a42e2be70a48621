"""A segment: one adapter of a memory, and what it needs to be changed later.

A memory has one segment, or several where its documents outgrow what one adapter holds. Knows nothing about documents or questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from safetensors.torch import load_file, save_file

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS
from nrem.memory.weights.fast_weights import Factors, FastWeights
from nrem.memory.weights.statistics import WrittenStatistics

FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS)


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

    def save(self, folder: Path, base_name: str, revision: str) -> None:
        """Write the files into an existing folder."""
        self.weights.save(folder, base_name, revision)
        if self.written is not None and self.written.chunks:
            tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in self.written.tensors().items()}
            save_file(tensors, folder / STATISTICS, metadata={"format": "pt"})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `MemoryFolderError` naming the file that cannot be read."""
        try:
            weights = FastWeights.load(folder)
        except MemoryFolderError:
            raise
        except Exception as error:
            raise MemoryFolderError(f"{folder}: {ADAPTER_WEIGHTS} cannot be read ({error}); restore it or sleep again") from error
        path = folder / STATISTICS
        return cls(weights, WrittenStatistics.from_tensors(load_file(path)) if path.exists() else None)
