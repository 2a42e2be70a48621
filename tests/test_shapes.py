"""The shape checks are on: a call with a wrong shape does not get through."""

import importlib

import pytest
import torch
from jaxtyping import TypeCheckError

from nrem.consolidation.read.observe import Seen
from nrem.consolidation.write.keyed import KeyedRidgeSite
from nrem.memory.weights.fast_weights import Factors
from tests import shapes


@pytest.mark.parametrize("name", shapes.MODULES)
def test_the_modules_exist_and_name_shapes(name: str) -> None:
    module = importlib.import_module(name)
    assert any(hasattr(module, kind) for kind in ("Float", "Int", "Bool"))


def test_a_wrong_rank_is_refused() -> None:
    with pytest.raises(TypeCheckError, match=r"rank d_in"):
        Factors(torch.zeros(4), torch.zeros(8, 4))


def test_axes_of_one_name_must_be_equal() -> None:
    with pytest.raises(TypeCheckError, match=r"d_out rank"):
        Factors(torch.zeros(4, 6), torch.zeros(8, 5))
    site, seen = KeyedRidgeSite(6, 8, 8, 4, 2), Seen(torch.zeros(1, 3, 8), torch.zeros(1, 3, 8), torch.ones(1, 3))
    site.statistics(torch.zeros(1, 3, 6), seen)
    with pytest.raises(TypeCheckError, match=r"batch token i"):
        site.statistics(torch.zeros(3, 6), seen)
