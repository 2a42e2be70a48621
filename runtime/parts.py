"""The parts of a session, made from a base model and a configuration: protocol, fast weights, write rule, sleeper, record."""

import time
from collections.abc import Callable
from importlib import metadata, resources
from pathlib import Path

import torch

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.events import Listener
from nrem.consolidation.guard import Guard
from nrem.consolidation.protocol import Protocol
from nrem.consolidation.protocol_folder import find_protocol, read_curves, retired_protocol, shipped_for, with_calibration
from nrem.consolidation.recall import RecallMeter
from nrem.consolidation.rule import WriteRule
from nrem.consolidation.rule_delta import DeltaRule
from nrem.consolidation.rule_descent import DescentRule
from nrem.consolidation.rule_gradient import GradientRule
from nrem.consolidation.rule_keyed import KeyedRidgeRule
from nrem.consolidation.rule_ridge import RidgeRule
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.split_model import SplitModel
from nrem.consolidation.study import StudyMaterial
from nrem.consolidation.unlearned import unlearned_protocol
from nrem.memory.errors import BaseMismatchError
from nrem.memory.fast_weights import FastWeights
from nrem.memory.layers import cache_bytes, find_targets, lowest_layer
from nrem.memory.record import MemoryRecord
from nrem.runtime.config import Config, to_dict
from nrem.runtime.default_model import cache_folder
from nrem.runtime.models import Base, load

LEARNED_RULES: dict[str, Callable[[SplitModel, FastWeights, Protocol, Ledger, CostModel], WriteRule]] = {
    "ridge": RidgeRule,
    "keyed": KeyedRidgeRule,
    "delta": DeltaRule,
    "gradient": DescentRule,
}
"""The rules that come with a trained protocol, by its rule's name."""
LIBRARIES = ("nrem", "torch", "transformers", "peft", "safetensors")


def load_base(config: Config, name: str = "") -> Base:
    """The configured base model, or another one by name."""
    c = config.model
    return load(name or c.name, c.load_in or None, c.dtype, c.revision or None)


def make_protocol(base: Base, config: Config, record: MemoryRecord | None = None) -> Protocol:
    """The configured protocol; a memory's own is required where there is one: its questions must be asked in the words that it learned."""
    wanted = config.protocol.name
    name = str(shipped_for(base.identity) or "unlearned") if wanted == "auto" else wanted
    if name == "unlearned":
        protocol = unlearned_protocol(base.model, base.tokenizer, unrelated_text())
    else:
        protocol = find_protocol(name, base.tokenizer, base.identity, base.model.device)
    protocol = with_calibration(protocol, calibration_folder(base, protocol))
    if record is not None and record.protocol["sha256"] != protocol.sha256:
        if wanted == "auto" and (untrained := Protocol(base.tokenizer)).sha256 == record.protocol["sha256"]:
            return untrained  # what `auto` came to before the ridge rule could write with nothing learned
        if (retired := retired_protocol(record.protocol["sha256"], base.tokenizer)) is not None:
            return retired
        raise BaseMismatchError(
            f"this memory was made with the protocol {record.protocol['id']} ({record.protocol['sha256'][:6]}), got {protocol.id} "
            f"({protocol.sha256[:6]}): name its own with --set protocol.name=..., or sleep again"
        )
    return protocol


def unrelated_text() -> str:
    """A text that belongs to no document."""
    return resources.files("nrem.configs").joinpath("unrelated.txt").read_text(encoding="utf-8")


def calibration_folder(base: Base, protocol: Protocol) -> Path:
    """Where `nrem ceiling` keeps what it measured with this base model and protocol."""
    return cache_folder() / "ceilings" / f"{base.identity.weights_sha256[:16]}-{protocol.sha256[:16]}"


def make_fast_weights(base: Base, config: Config, protocol: Protocol) -> FastWeights:
    """Fast weights that have learned nothing: the protocol's reader, or nothing at all."""
    if protocol.learned is not None:
        transposed = find_targets(base.model, protocol.learned.names[0].rsplit(".", 1)[-1], 0).transposed
        return protocol.learned.fast_weights(transposed)
    generator = torch.Generator().manual_seed(config.seed)
    return FastWeights.create(base.model, config.fast_weights, generator)


def make_sleeper(base: Base, config: Config, protocol: Protocol, fast: FastWeights, ledger: Ledger, listener: Listener) -> Sleeper:
    """Everything that a sleep needs, around the fast weights that it writes."""
    cost = CostModel.of(base.model)
    split = make_split(base, protocol, fast)
    material = StudyMaterial(protocol, config.probes, config.seed, longest_prefix=split.longest_prefix)
    rule = make_rule(split, config, protocol, material, fast, ledger)
    sleep = config.sleep.resolved(protocol.trained_passes, protocol.ceiling.n_star if protocol.ceiling else None)
    curves = read_curves(Path(config.sleep.curves)) if config.sleep.curves else protocol.curves
    return Sleeper(
        split=split,
        fast=fast,
        rule=rule,
        meter=make_meter(config, protocol, material, rule, fast, split, ledger),
        guard=Guard(base.model, protocol.plain_ids(unrelated_text(), start=True), config.guard, ledger, cost),
        ledger=ledger,
        config=sleep,
        allocator=sleep.make_allocator(curves),
        listener=listener,
    )


def make_split(base: Base, protocol: Protocol, fast: FastWeights) -> SplitModel:
    """The model cut below the lowest module that is written to; what a static reader changes further down is the same at every pass."""
    written = protocol.learned.names if protocol.learned is not None else list(fast.factors)
    return SplitModel(base.model, lowest_layer(base.model, written))


def make_rule(
    split: SplitModel, config: Config, protocol: Protocol, material: StudyMaterial, fast: FastWeights, ledger: Ledger
) -> WriteRule:
    """The protocol's write rule on these fast weights."""
    cost = CostModel.of(split.model)
    if protocol.learned is not None:
        return LEARNED_RULES[protocol.rule](split, fast, protocol, ledger, cost)
    return GradientRule(split, fast, material, config.rule, ledger, cost)


def make_meter(
    config: Config, protocol: Protocol, material: StudyMaterial, rule: WriteRule, fast: FastWeights, split: SplitModel, ledger: Ledger
) -> RecallMeter:
    """Probes are asked of what a question will be asked of: a chunk alone, or everything."""
    alone = rule.alone if question_chunks(config, protocol) else None
    return RecallMeter(split, material, ledger, CostModel.of(split.model), fast.num_parameters, alone=alone)


def question_chunks(config: Config, protocol: Protocol) -> int:
    """Most chunks that a question is answered from, "auto" resolved; 0 for all."""
    wanted = config.fast_weights.question_chunks
    return protocol.question_chunks if wanted == "auto" else wanted if protocol.keyed is not None else 0


def make_record(base: Base, config: Config, protocol: Protocol) -> MemoryRecord:
    """The provenance of a memory that is about to be made."""
    capacity = config.fast_weights.segment_chunks
    return MemoryRecord(
        base=base.identity,
        protocol={"id": protocol.id, "sha256": protocol.sha256, "rule": protocol.rule},
        config=to_dict(config),
        seed=config.seed,
        segment_chunks=protocol.segment_chunks if capacity == "auto" else capacity,
        question_chunks=question_chunks(config, protocol),
        cache_token_bytes=cache_bytes(base.model),
        versions={name: metadata.version(name) for name in LIBRARIES},
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
