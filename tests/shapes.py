"""Shape checking: in tests, every call of a function whose annotations name shapes is checked against them."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception
from jaxtyping import install_import_hook

MODULES = (
    "nrem.consolidation.write.delta",
    "nrem.consolidation.guard",
    "nrem.consolidation.probe.items",
    "nrem.consolidation.read.observe",
    "nrem.consolidation.write.reading",
    "nrem.consolidation.write.keyed",
    "nrem.consolidation.write.site",
    "nrem.consolidation.read.split_model",
    "nrem.runtime.route.degrpo",
    "nrem.runtime.route.exploration",
    "nrem.runtime.route.network",
    "nrem.memory.weights.fast_weights",
    "nrem.memory.weights.statistics",
)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """beartype, except for constructors that return `Self`, which it takes in whole classes only."""
    try:
        return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)  # an int is a float
    except BeartypeDecorHintPep673Exception:
        return function


def install() -> None:
    """Check the shapes of these modules from now on; must come before they are imported."""
    install_import_hook(MODULES, "tests.shapes.checked")
