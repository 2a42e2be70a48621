"""Fast weights: the LoRA factors that a sleep writes, and nothing else.

Plain LoRA, `y = W x + B (A x)` at scale 1. The factors live here as float32 values, outside the model; `attached` lends them to a
model through forward hooks and takes the hooks away again, so the base weights are never touched. The arithmetic is that of
PEFT's `lora.Linear`, operation for operation, and `save` writes PEFT's two files: what is written here opens there with equal logits.
Knows nothing about documents, passes or how the factors are computed.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.files import ADAPTER_WEIGHTS
from nrem.memory.weights.adapter_config import read_adapter_config, write_adapter_config
from nrem.memory.weights.config import FastWeightsConfig, Layers
from nrem.memory.weights.layers import adapted_module, decoder_layers, find_targets
from nrem.memory.weights.turns import turn

KEPT_TYPES = (torch.bfloat16, torch.float16, torch.float32)
"""Of values in files: what has room in float32."""


@dataclass
class Factors:
    """The two factors of one adapted module."""

    A: Float[Tensor, "rank d_in"]
    B: Float[Tensor, "d_out rank"]

    def take(self, other: "Factors") -> None:
        """Have these values from now on, wherever the factors are attached."""
        self.A, self.B = other.A, other.B

    def empty(self) -> "Factors":
        """Of rank 1 and no effect: PEFT knows no rank 0."""
        return Factors(self.A.new_zeros(1, self.A.shape[1]), self.B.new_zeros(len(self.B), 1))


@dataclass
class FastWeights:
    """The factors of every adapted module, by the module's full name in the model."""

    factors: dict[str, Factors]
    transposed: bool = False
    """True where the base stores W as (d_in, d_out), as GPT-2's Conv1D does; PEFT calls it fan_in_fan_out."""
    _silent: bool = False

    @classmethod
    def create(cls, model: nn.Module, config: FastWeightsConfig, generator: torch.Generator | None = None) -> Self:
        """A uniform in +-1/sqrt(d_in) as in PEFT's default, B zero: the attached model equals the base (arXiv 2106.09685, 4.1)."""
        targets = find_targets(model, config.target, first_layer(model, config.layers))
        factors = {}
        for name, (d_in, d_out, device) in targets.shapes.items():
            A = torch.empty(config.rank, d_in).uniform_(-1, 1, generator=generator) / math.sqrt(d_in)
            factors[name] = Factors(A.to(device), torch.zeros(d_out, config.rank, device=device))
        return cls(factors, targets.transposed)

    @property
    def rank(self) -> int:
        """The largest rank of a module; PEFT's r."""
        return max(len(f.A) for f in self.factors.values())

    @property
    def num_parameters(self) -> int:
        return sum(f.A.numel() + f.B.numel() for f in self.factors.values())

    @property
    def kept_dtype(self) -> torch.dtype:
        """In which files keep the values: bf16 where it holds all of them exactly."""
        exact = all(torch.equal(t.bfloat16().float(), t) for t in self.tensors().values())
        return torch.bfloat16 if exact else torch.float32

    @property
    def num_bytes(self) -> int:
        """Size of the saved values."""
        return self.num_parameters * self.kept_dtype.itemsize

    def tensors(self) -> dict[str, Tensor]:
        """Every factor under PEFT's key, in a fixed order; the tensors are the live ones, not copies."""
        out = {}
        for name, f in self.factors.items():
            out[f"base_model.model.{name}.lora_A.weight"] = f.A
            out[f"base_model.model.{name}.lora_B.weight"] = f.B
        return out

    def clone(self) -> dict[str, Tensor]:
        """A copy of all factors, to come back to with `restore`."""
        return {key: tensor.detach().clone() for key, tensor in self.tensors().items()}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Take the values of `saved`, whose ranks may be others; raises `MemoryFolderError` naming the first tensor that is missing or does
        not fit."""
        mine = self.tensors()
        if missing := [key for key in mine if key not in saved]:
            raise MemoryFolderError(f"fast weights: tensor {missing[0]} is missing; save the memory again from its source")
        if extra := sorted(set(saved) - set(mine)):
            raise MemoryFolderError(f"fast weights: tensor {extra[0]} belongs to no adapted module of this model")
        for name, f in self.factors.items():
            A, B = (saved[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
            rank = B.shape[-1]
            for side, tensor, shape in (("A", A, (rank, f.A.shape[1])), ("B", B, (f.B.shape[0], rank))):
                if tensor.shape != shape:
                    key = f"base_model.model.{name}.lora_{side}.weight"
                    raise MemoryFolderError(
                        f"fast weights: tensor {key} has shape {tuple(tensor.shape)}, expected {shape}; "
                        "the memory was made for another base model or rank"
                    )
            if A.shape == f.A.shape:
                with torch.no_grad():  # in place: an optimiser may hold them
                    f.A.copy_(A)
                    f.B.copy_(B)
            else:
                f.A, f.B = (t.to(f.A.device, f.A.dtype, copy=True) for t in (A, B))

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Add `B A x` to every adapted module while the block runs; no other thread has its turn then. Whatever happens, the hooks go."""
        handles = []
        with turn(model):
            try:
                for name, f in self.factors.items():
                    handles.append(adapted_module(model, name, f.A.shape[1], f.B.shape[0]).register_forward_hook(self._hook(f)))
                yield
            finally:
                for handle in handles:
                    handle.remove()

    @contextmanager
    def silenced(self, silent: bool = True) -> Iterator[None]:
        """Attached or not, add nothing while the block runs; with False add again, within a block that silences."""
        before, self._silent = self._silent, silent
        try:
            yield
        finally:
            self._silent = before

    @contextmanager
    def lending(self, B: Mapping[str, Tensor]) -> Iterator[None]:
        """Other values of B while the block runs: (d_out rank), or for each row of a batch, (row d_out rank), in the model's own dtype."""
        own = {name: f.B for name, f in self.factors.items()}
        try:
            for name, f in self.factors.items():
                f.B = B[name]
            yield
        finally:
            for name, f in self.factors.items():
                f.B = own[name]

    def _hook(self, f: Factors) -> Any:
        def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = args[0]
            if self._silent:
                return output
            if f.B.ndim == 3:  # a pass reads as in protocol training, in the model's own dtype
                return output + (x @ f.A.to(x.dtype).T) @ f.B.to(x.dtype).mT
            return (output + F.linear(F.linear(x.to(f.A.dtype), f.A), f.B)).to(output.dtype)

        return add

    def adds_the_same(self, other: Self) -> bool:
        """Whether both have the same factors."""
        mine, theirs = self.tensors(), other.tensors()
        return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key].to(mine[key].device)) for key in mine)

    def as_saved(self) -> Self:
        """The modules that files hold: those with a rank, or all with one of no effect."""
        kept = {name: f for name, f in self.factors.items() if len(f.A)} or {name: f.empty() for name, f in self.factors.items()}
        return type(self)(kept, self.transposed)

    def save(self, folder: Path, base_model: str, revision: str = "") -> None:
        """Write PEFT's two files into an existing folder."""
        kept = self.as_saved()
        ranks = {name: len(f.A) for name, f in kept.factors.items()}
        write_adapter_config(folder, ranks, transposed=self.transposed, base_model=base_model, revision=revision)
        save_file(kept.kept_tensors(), folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})

    def kept_tensors(self) -> dict[str, Tensor]:
        """What files hold: `tensors` in `kept_dtype`."""
        kept = self.kept_dtype  # looks at every value, so once
        return {key: t.detach().cpu().contiguous().to(kept) for key, t in self.tensors().items()}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """PEFT's two files, with the values in the file's float type; they stay in it until they are looked at. Whether they fit a model
        shows when they are attached to it."""
        config = read_adapter_config(folder)
        tensors = load_file(folder / ADAPTER_WEIGHTS)
        factors = {}
        for name in config.modules:
            try:
                A, B = (tensors[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
            except KeyError as error:
                raise MemoryFolderError(f"{folder}: {ADAPTER_WEIGHTS} lacks the tensor {error.args[0]}; restore the file") from None
            if A.dtype not in KEPT_TYPES or A.dtype != B.dtype:
                raise MemoryFolderError(f"{folder}: {ADAPTER_WEIGHTS} has factors of {name} of {A.dtype} and {B.dtype}; restore the file")
            if A.ndim != 2 or B.ndim != 2 or len(A) != B.shape[1]:
                shapes = f"{tuple(A.shape)} and {tuple(B.shape)}"
                raise MemoryFolderError(f"{folder}: {ADAPTER_WEIGHTS} has factors of {name} of shapes {shapes}; restore the file")
            factors[name] = Factors(A, B)
        return cls(factors, config.transposed)

    def float(self) -> Self:
        """The same values in float32, in tensors of their own."""
        widened = {n: Factors(f.A.to(torch.float32, copy=True), f.B.to(torch.float32, copy=True)) for n, f in self.factors.items()}
        return type(self)(widened, self.transposed)

    def copy(self) -> Self:
        """The same values in tensors of their own."""
        return type(self)({n: Factors(f.A.clone(), f.B.clone()) for n, f in self.factors.items()}, self.transposed)

    def to(self, device: torch.device | str) -> Self:
        """The same values on another device."""
        moved = {name: Factors(f.A.to(device), f.B.to(device)) for name, f in self.factors.items()}
        return type(self)(moved, self.transposed)


def first_layer(model: nn.Module, layers: Layers) -> int:
    """Index of the lowest adapted decoder layer."""
    count = len(decoder_layers(model))
    return {"upper-half": count // 2, "upper-third": count * 2 // 3, "upper-quarter": count * 3 // 4, "all": 0}[layers]
