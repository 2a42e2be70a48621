"""What the adapters of one memory have in common, kept once: the leading columns of their factors, which are the protocol's reader.

The first segment is whole, a plain LoRA that PEFT opens. Of a later one only the columns behind those that are the first one's are kept, in
one file; with the first at hand it is whole again, bit for bit. Knows nothing about protocols: equal is what is equal.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved.files import WRITTEN
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.weights.fast_weights import KEPT_TYPES, Factors, FastWeights
from nrem.memory.weights.kept import KeptWeights

SHARED = "shared"
"""The key of the file's metadata: columns that are the first segment's, of each module that does not have all of them, and no others."""


def shared_columns(weights: FastWeights, first: FastWeights) -> dict[str, int]:
    """How many leading columns each module has in common with the same module of `first`."""
    return {name: _common(f, first.factors[name]) if name in first.factors else 0 for name, f in weights.factors.items()}


def own_bytes(weights: FastWeights, first: FastWeights) -> int:
    """Size of the values that are kept beside those of `first`."""
    return _own(weights, shared_columns(weights, first)).num_bytes


def save_own(weights: FastWeights, first: FastWeights, folder: Path) -> bool:
    """Write what is not in `first` into an existing folder; writes nothing and returns False where they have nothing in common.

    Both are as files hold them (`FastWeights.as_saved`).
    """
    shared = shared_columns(weights, first)
    if not any(shared.values()) or not first.factors.keys() <= weights.factors.keys():
        return False
    own = _own(weights, shared)
    listed = {name: count for name, count in shared.items() if name in own.factors or count != len(first.factors[name].A)}
    save_file(own.kept_tensors(), folder / WRITTEN, metadata={"format": "pt", SHARED: json_text(listed, sort_keys=True)})
    return True


def load_own(folder: Path, first: KeptWeights) -> KeptWeights:
    """What `save_own` wrote. Raises `MemoryFolderError` for what does not fit `first`; whatever else a damaged file makes of it is the
    caller's to tell."""
    with safe_open(folder / WRITTEN, framework="pt") as file:
        listed = parse_json(file.metadata()[SHARED])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    problem = MemoryFolderError(f"{folder}: {WRITTEN} does not fit the first adapter of its memory; restore it or sleep again")
    if not isinstance(listed, dict):
        raise problem
    known = first.own.factors
    own, shared = dict[str, Factors](), dict[str, int]()
    for name in [*known, *(name for name in listed if name not in known)]:
        before = known.get(name)
        count = listed.get(name, len(before.A) if before else 0)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= (len(before.A) if before else 0):
            raise problem
        mine = _pair(tensors, name)
        if mine is None and before is None:
            raise problem
        if mine and before and (mine.A.shape[1] != before.A.shape[1] or len(mine.B) != len(before.B)):
            raise problem
        own |= {name: mine} if mine else {}
        shared |= {name: count} if before else {}
    if tensors:  # of a module that nothing names
        raise problem
    return KeptWeights(FastWeights(own, first.own.transposed), first, shared)


def _common(mine: Factors, theirs: Factors) -> int:
    rank = min(len(mine.A), len(theirs.A))
    if mine.A.shape[1:] != theirs.A.shape[1:] or len(mine.B) != len(theirs.B):
        return 0
    same = _equal_bits(mine.A[:rank], theirs.A[:rank]).all(1) & _equal_bits(mine.B[:, :rank], theirs.B[:, :rank]).all(0)
    return int(same.long().cumprod(0).sum())


def _equal_bits(mine: Tensor, theirs: Tensor) -> Tensor:
    """Where two float32 are the same, a zero and its negative not."""
    return mine.detach().cpu().contiguous().view(torch.int32) == theirs.detach().cpu().contiguous().view(torch.int32)


def _own(weights: FastWeights, shared: Mapping[str, int]) -> FastWeights:
    """The columns behind the shared ones, of the modules that have some."""
    factors = {n: Factors(f.A[shared[n] :], f.B[:, shared[n] :]) for n, f in weights.factors.items() if len(f.A) > shared[n]}
    return FastWeights(factors, weights.transposed)


def _pair(tensors: dict[str, Tensor], name: str) -> Factors | None:
    """The two factors of a module, taken out of the tensors; None where it has none of its own."""
    A, B = (tensors.pop(f"base_model.model.{name}.lora_{side}.weight", None) for side in "AB")
    if A is None or B is None or A.ndim != 2 or B.ndim != 2 or len(A) != B.shape[1] or A.dtype not in KEPT_TYPES or A.dtype != B.dtype:
        if A is None and B is None:
            return None
        raise MemoryFolderError(f"{WRITTEN}: the factors of {name} are not whole; restore the file or sleep again")
    return Factors(A, B)
