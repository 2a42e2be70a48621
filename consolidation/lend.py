"""Lending fast weights to a model for a batch in which several memories are asked at once: every group of rows has its own.

`FastWeights.attached` is the way of one memory; this one is differentiable, in the model's own dtype, and used where protocols are trained
and measured. Axes: row (group-major: as many rows for each group), token, r rank, o output.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from einops import rearrange
from torch import Tensor, nn

from nrem.consolidation.site import Site, Sites


@contextmanager
def lent(model: nn.Module, sites: Sites[Any], fast: Mapping[str, Tensor] | None) -> Iterator[None]:
    """Attach the static reader and, where given, each group's B (group out rank); the hooks go, whatever happens inside."""
    handles = []
    try:
        for name, site in sites.items():
            B = fast[name] if fast is not None else None
            handles.append(model.get_submodule(name).register_forward_hook(_hook(site, B)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(site: Site, B: Tensor | None) -> Any:
    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]
        out = output
        if len(site.reader_A):
            out = out + (x @ site.reader_A.to(x.dtype).T) @ site.reader_B.to(x.dtype).T
        if B is not None:
            keys = rearrange(x @ site.A.to(x.dtype).T, "(g row) t r -> g (row t) r", g=len(B))
            out = out + rearrange(keys @ B.to(x.dtype).mT, "g (row t) o -> (g row) t o", row=len(x) // len(B))
        return out

    return add
