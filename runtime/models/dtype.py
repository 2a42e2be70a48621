"""The float type that a model runs in, by measurement: products of its own shapes are timed once per machine, and the figures kept.

A processor's flags do not say it: one with AVX512-BF16 and no AMX may be slower in bfloat16 than in float32. Two kinds of product are
timed: `many` rows at once, as in passes, prompts and training, and one row against weights that no cache holds, as in `decoding`.

The products of many rows decide for all uses. Nearly all of a sleep is such products; an answer is a prompt of hundreds of rows and some
twenty decoded tokens, where the two types differ by less than their figures do. Another type for decoding would need the weights in
memory twice, and the adapter, its guard and its recorded answer hold for the type that they were written in.

On a processor float16 is timed and never taken: its largest number is 65,504, which residual streams of common models exceed.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F

from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.runtime.models.cache import cache_folder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TAKEN = ("float32", "bfloat16")
"""What `auto` chooses from on a processor."""
MARGIN = 1.1
"""bfloat16 must be faster by this factor: where both are the same, float32 rounds less, and noise must not decide."""
ROWS = 256
MOST_FLOP = 1e9
"""Of one product of many rows; wider modules are timed on part of their columns, which changes nothing of the kind of work."""
WEIGHT_BYTES, MOST_WEIGHTS = 64_000_000, 32
"""Weights that decoding is timed on: more than a processor's cache holds, except of tiny models, which it would hold anyway."""
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Shape:
    """What a model's MLP multiplies by, features."""

    hidden: int
    intermediate: int

    @classmethod
    def of(cls, config: Any) -> Self:
        """The shape in a transformers configuration."""
        text = config.get_text_config()
        hidden = int(text.hidden_size)
        return cls(hidden, int(getattr(text, "intermediate_size", None) or 4 * hidden))

    @property
    def columns(self) -> int:
        """How many of the intermediate features a timed product has."""
        return min(self.intermediate, max(64, int(MOST_FLOP / (2 * ROWS * self.hidden))))


@dataclass(frozen=True)
class Speeds:
    """GFLOP/s by float type, the best of several repeats."""

    many: dict[str, float]
    decoding: dict[str, float]
    quiet: bool = True
    """Whether the machine had cores to spare when they were measured."""

    def best_of(self, other: "Speeds") -> "Speeds":
        """The higher figure of each."""
        pairs = ((self.many, other.many), (self.decoding, other.decoding))
        many, decoding = ({name: max(mine[name], theirs[name]) for name in DTYPES} for mine, theirs in pairs)
        return Speeds(many, decoding, self.quiet or other.quiet)

    @property
    def taken(self) -> str:
        """What `auto` takes on a processor."""
        return "bfloat16" if self.many["bfloat16"] >= MARGIN * self.many["float32"] else "float32"


def best_dtype(shape: Shape) -> torch.dtype:
    """What `auto` means here for a model of this shape: measured on a processor; on a GPU bfloat16 where it has it, else float16."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return DTYPES[speeds_here(shape).taken]


def speeds_here(shape: Shape, *, again: bool = False) -> Speeds:
    """The figures of this machine, kept in the cache folder; `again` measures though there are some, and longer.

    Other programs slow down the larger type more. So figures of a busy machine are only kept until it is quiet, and what a busy one gives
    never lowers a figure that is there: the choice can change once, not to and fro.
    """
    book, key, quiet = cache_folder() / "dtype.json", _key(shape), _quiet()
    known = _read(book)
    kept = _kept(known.get(key))
    if kept and not again and (kept.quiet or not quiet):
        return kept
    speeds = replace(measure(shape, rounds=24 if again else 8), quiet=quiet)
    if kept and not quiet:
        speeds = speeds.best_of(kept)
    with suppress(OSError):  # a cache that cannot be written to is only slower
        book.parent.mkdir(parents=True, exist_ok=True)
        write_text(book, json_text(known | {key: asdict(speeds)}, indent=2) + "\n")
    return speeds


def measure(shape: Shape, rounds: int = 8) -> Speeds:
    """Time the products: about a third of a second for eight rounds, and 64 MB."""
    x = torch.ones(ROWS, shape.hidden)
    weight = torch.ones(shape.columns, shape.hidden)
    many = {name: _product(x.to(dtype), [weight.to(dtype)]) for name, dtype in DTYPES.items()}
    decoding: dict[str, float] = {}
    for name, dtype in DTYPES.items():  # one type after the other: the weights of all three need not be held
        copies = min(MOST_WEIGHTS, -(-WEIGHT_BYTES // (weight.numel() * dtype.itemsize)))
        weights = [torch.ones(shape.columns, shape.hidden, dtype=dtype) for _ in range(copies)]
        decoding |= _best({name: _product(x[:1].to(dtype), weights)}, max(2, rounds // 3))
        del weights
    return Speeds(_gflops(_best(many, rounds), shape, ROWS), _gflops(decoding, shape, 1))


def _best(products: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Shortest seconds of each. They take turns, so that what else the machine does falls on all alike."""
    for product in products.values():
        product()  # the first call prepares
    best = {name: product() for name, product in products.items()}
    for _ in range(rounds - 1):
        for name, product in products.items():
            if name in TAKEN or best[name] < 3 * min(best.values()):  # float16 may take twenty times as long, for nothing
                best[name] = min(best[name], product())
    return best


def _product(x: torch.Tensor, weights: list[torch.Tensor]) -> Callable[[], float]:
    """Times one product after the other; gives seconds for one."""

    def seconds() -> float:
        started = time.perf_counter()
        for weight in weights:
            F.linear(x, weight)
        return (time.perf_counter() - started) / len(weights)

    return seconds


def _gflops(seconds: dict[str, float], shape: Shape, rows: int) -> dict[str, float]:
    return {name: round(2e-9 * rows * shape.hidden * shape.columns / value, 2) for name, value in seconds.items()}


def _quiet() -> bool:
    """Whether the machine has cores for all of our threads, by its load over the last minute."""
    try:
        return os.getloadavg()[0] + torch.get_num_threads() <= (os.cpu_count() or 1) + 0.5
    except (AttributeError, OSError):  # Windows does not say
        return True


def _read(book: Path) -> dict[str, Any]:
    try:
        values = parse_json(book.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _kept(values: Any) -> Speeds | None:
    """Figures as they were kept; None where there are none, or not all."""
    try:
        many, decoding = ({name: float(values[kind][name]) for name in DTYPES} for kind in ("many", "decoding"))
        return Speeds(many, decoding, bool(values["quiet"]))
    except (KeyError, TypeError, ValueError):
        return None


def _key(shape: Shape) -> str:
    """What the figures depend on."""
    return f"{processor()}; torch {torch.__version__}; {torch.get_num_threads()} threads; {ROWS} x {shape.hidden} x {shape.columns}"


def processor() -> str:
    """Its name, and those of its flags that matter here: machines that share a name may hide some."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(found.get("flags", "").split())
    name = found.get("model name") or platform.processor() or platform.machine()
    return ", ".join([name, *(flag for flag in FLAGS if flag in flags)])
