"""Decoder layers and adaptable modules are found in every family, and a model without them is told what it has."""

import pytest
import torch
from torch import nn

from nrem.memory.errors import ModelError, UsageError
from nrem.memory.weights.fast_weights import first_layer
from nrem.memory.weights.layers import adapted_module, decoder_layers, find_targets, layers_name, lowest_layer
from nrem.runtime.models.load import Base
from tests import tiny


def test_the_layers_of_every_family_are_found(base: Base) -> None:
    assert layers_name(base.model) in ("model.layers", "transformer.h")
    assert len(decoder_layers(base.model)) == 4


def test_the_default_target_is_the_output_of_the_mlp(base: Base) -> None:
    targets = find_targets(base.model, "auto", 2)
    assert [name.split(".")[-2:] for name in targets.shapes] in ([["mlp", "down_proj"]] * 2, [["mlp", "c_proj"]] * 2)
    assert [name.split(".")[2] for name in targets.shapes] == ["2", "3"]
    assert targets.transposed == ("GPT2" in type(base.model).__name__)
    for name, (d_in, d_out, _) in targets.shapes.items():
        x = torch.zeros(1, d_in)
        assert base.model.get_submodule(name)(x).shape == (1, d_out)
    assert lowest_layer(base.model, targets.shapes) == 2


@pytest.mark.parametrize(("layers", "first"), [("all", 0), ("upper-half", 2), ("upper-quarter", 3)])
def test_layers_are_counted_from_above(llama: Base, layers: str, first: int) -> None:
    assert first_layer(llama.model, layers) == first  # type: ignore[arg-type]


def test_a_wrong_target_is_told_which_there_are(llama: Base) -> None:
    with pytest.raises(UsageError, match=r"no module ends in 'dwn_proj'; this model has .*mlp\.down_proj.*: name one of them"):
        find_targets(llama.model, "dwn_proj", 0)


def test_several_targets_are_joined_by_commas(llama: Base) -> None:
    shapes = find_targets(llama.model, "down_proj,o_proj", 3).shapes
    assert [name.split(".", 3)[-1] for name in shapes] == ["self_attn.o_proj", "mlp.down_proj"]
    with pytest.raises(UsageError, match="no module ends in 'odd_proj'"):
        find_targets(llama.model, "down_proj,odd_proj", 0)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="Linear has no list of layers: nrem needs a decoder"):
        layers_name(nn.Linear(2, 2))


def test_a_module_that_does_not_fit_is_named() -> None:
    model = tiny.make_base("llama").model
    with pytest.raises(ModelError, match=r"no module model\.layers\.9\.mlp\.down_proj; load the base model"):
        adapted_module(model, "model.layers.9.mlp.down_proj", 48, 32)
    with pytest.raises(ModelError, match=r"maps \(48, 32\) features, expected \(32, 48\)"):
        adapted_module(model, "model.layers.3.mlp.down_proj", 32, 48)
