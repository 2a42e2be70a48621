"""Lending fast weights to a model for a batch in which several memories are asked at once: every group of rows has its own.

`FastWeights.attached` is the way of a finished adapter, cut to its rank; what is lent here is whole, differentiable and in the model's own
dtype: passes read through it with what they have written so far, dreams with the reader alone, and protocols are trained and measured by
it. Rows are group-major: as many for each group. Knows nothing about the form in which a rule writes.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from nrem.consolidation.write.site import Site, Sites


@contextmanager
def lent(model: nn.Module, sites: Sites[Any], fast: Mapping[str, Any] | None, scribe: Mapping[str, Site] | None = None) -> Iterator[None]:
    """Attach the static reader and, where given, what each group's memory has written, and the scribe; the hooks go, whatever happens
    inside."""
    handles = []
    try:
        for name, site in sites.everywhere():
            hook = _hook(site, (fast or {}).get(name), (scribe or {}).get(name))
            handles.append(model.get_submodule(name).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(site: Any, written: Any, scribe: Site | None) -> Any:
    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]
        out = output + site.read(x) if len(site.reader_A) else output
        out = out + scribe.read(x) if scribe is not None else out
        return out + site.change(x, written) if written is not None else out

    return add
