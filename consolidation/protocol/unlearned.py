"""The ridge write with nothing learned: for a base model that has no protocol. Values are the errors themselves, every token counts alike.

Only C_0 and the unit of the outputs are measured, on the spot, from a text that comes with nrem. It answers better than study items by
gradient, at a tenth of their cost (benchmarks/LOG.md), and far worse than a trained protocol.
"""

from collections.abc import Sequence
from typing import Any

from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.observe import Texts, module_traffic
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.write.learned import Sizes
from nrem.consolidation.write.ridge_site import Ridge
from nrem.memory.weights.fast_weights import first_layer
from nrem.memory.weights.layers import find_targets, lowest_layer

ID = "unlearned-ridge"
RANK = 256
ROW_TOKENS = 64
ERROR_VOCABULARY = 8192


def unlearned_protocol(model: Any, tokenizer: Any, ordinary_text: str) -> Protocol:
    """A protocol for any base model; its words are those of the untrained one."""
    shapes = find_targets(model, "auto", first_layer(model, "upper-third")).shapes
    d_model = model.get_output_embeddings().weight.shape[1]
    modules = {name: (d_in, d_out) for name, (d_in, d_out, _) in shapes.items()}
    ridge = Ridge.create(Sizes(modules=modules, d_model=d_model, rank=RANK, reader_rank=0, error_vocabulary=ERROR_VOCABULARY))
    ridge.requires_grad_(False).to(model.device)
    protocol = Protocol(tokenizer, id=ID, rule="ridge", trained_passes=1, learned=ridge)
    rows = _rows(protocol.plain_ids(ordinary_text))
    split = SplitModel(model, lowest_layer(model, modules))
    traffic = module_traffic(split, Texts.pad(rows, protocol.stop_id, model.device), ridge.names)
    ridge.settle(traffic.inputs)
    ridge.take_units(traffic.units)
    return protocol


def _rows(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + ROW_TOKENS] for start in range(0, len(ids), ROW_TOKENS)]
