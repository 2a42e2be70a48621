"""The parts of a session, made from a base model and a configuration: protocol, fast weights, write rule, sleeper, record."""

import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

import torch

from nrem.consolidation.allocate.config import ResolvedSleep
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.dream.voice import Voice
from nrem.consolidation.events import Listener
from nrem.consolidation.guard import Guard
from nrem.consolidation.probe.material import StudyMaterial
from nrem.consolidation.probe.recall import RecallMeter
from nrem.consolidation.probe.sample import QUESTIONS
from nrem.consolidation.protocol.folder import find_protocol, named_folder, read_curves, retired_protocol, shipped_for, with_calibration
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.protocol.unlearned import ID as UNLEARNED
from nrem.consolidation.protocol.unlearned import unlearned_protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.sleep import Sleeper
from nrem.consolidation.write.rule import DREAMS, RuleParts, WriteRule
from nrem.consolidation.write.rules import RULES
from nrem.memory.arguments import check_kind
from nrem.memory.errors import BaseMismatchError
from nrem.memory.memory import Memory
from nrem.memory.saved.record import MemoryRecord
from nrem.memory.weights.fast_weights import FastWeights
from nrem.memory.weights.layers import cache_bytes, find_targets, lowest_layer
from nrem.runtime.config import Config, Flags, ProtocolConfig, config_from_dict, to_dict
from nrem.runtime.models.default import cache_folder
from nrem.runtime.models.known import recall_protocol, remember_base, remember_protocol
from nrem.runtime.models.load import Base, load
from nrem.runtime.opened import opened_config

LIBRARIES = ("nrem", "torch", "transformers", "peft", "safetensors")


def check_parts(memory: object, base: object, config: object) -> None:
    """Raise `UsageError` where what a caller gives is none of these; each may be left out."""
    for name, value, kinds, expected in (
        ("memory", memory, Memory, "a Memory, as Memory.load gives it"),
        ("base", base, (Base, str), "a model's name, or what load_model gives"),
        ("config", config, Config, "a Config, as load_config gives it"),
    ):
        if value is not None:
            check_kind(name, value, kinds, expected)


def load_base(config: Config, name: str = "") -> Base:
    """The configured base model, or another one by name; memories that were made on it find it again by its hashes."""
    c = config.model
    base = load(name or c.name, c.load_in or None, c.dtype, c.revision or None)
    remember_base(base.identity, {"name": name or c.name, "load_in": c.load_in, "revision": c.revision})
    return base


def base_of(config: Config, base: Base | str | None) -> Base:
    """What a caller gives: a base that is loaded, or the name of one; the configured one where it is left out."""
    return base if isinstance(base, Base) else load_base(config, base or "")


def named_base(config: Config, base: Base | str | None) -> tuple[Config, Base | None]:
    """A base that is given by its name is the configured one, to be loaded when it is needed."""
    return (replace(config, model=replace(config.model, name=base)), None) if isinstance(base, str) else (config, base)


def config_of(
    memory: Memory, settings: Sequence[str] = (), flags: Flags | None = None, *, base_given: bool = False, where: str = ""
) -> Config:
    """Of a memory that this process made, its own configuration. Of one that was read, `opened_config`, with the protocol that it was made
    with where that can be named: nrem's own, or one that the user named here before. Whether it is the very one is for `make_protocol` to
    find out."""
    record = memory.record
    if memory.made_here:
        return config_from_dict(record.config, settings, flags)
    config = opened_config(record, where or memory.name, settings, flags, base_given=base_given)
    if "protocol.name" in config.given:
        return config
    name, folder = record.protocol["id"], recall_protocol(record.protocol["sha256"])
    if name == UNLEARNED:
        name = "unlearned"
    elif folder is not None:
        name = str(folder)
    elif name != "untrained" and (name not in RULES or RULES[name].learned is not None):
        name = "auto"
    return replace(config, protocol=ProtocolConfig(name=name))


def make_protocol(base: Base, config: Config, record: MemoryRecord | None = None) -> Protocol:
    """The configured protocol; a memory's own is required where there is one: its questions must be asked in the words that it learned."""
    wanted = config.protocol.name
    name = str(shipped_for(base.identity) or "unlearned") if wanted == "auto" else wanted
    if name == "unlearned":
        protocol = unlearned_protocol(base.model, base.tokenizer, unrelated_text())
    else:
        protocol = find_protocol(name, base.tokenizer, base.identity, base.model.device)
        if protocol.learned is not None and wanted != "auto":
            remember_protocol(protocol.sha256, named_folder(name))
    protocol = with_calibration(protocol, calibration_folder(base, protocol))
    if record is not None and record.protocol["sha256"] != protocol.sha256:
        if wanted in ("auto", "unlearned") and (untrained := Protocol(base.tokenizer)).sha256 == record.protocol["sha256"]:
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


def make_sleeper(
    base: Base, config: Config, protocol: Protocol, fast: FastWeights, ledger: Ledger, listener: Listener, guard: Guard | None = None
) -> Sleeper:
    """Everything that a sleep needs, around the fast weights that it writes; a `guard` that has read its text already is taken over."""
    sleep = resolved_sleep(config, protocol)
    parts = make_rule_parts(base, config, protocol, fast, ledger)
    rule = RULES[protocol.rule].rule(parts)
    allocator = sleep.make_allocator(measured_curves(config, protocol))
    share = config.probes.share if allocator.looks == "none" else 1.0
    alone = rule.alone if question_chunks(config, protocol) else None  # probes are asked of what a question will be asked of
    return Sleeper(
        split=parts.split,
        fast=fast,
        rule=rule,
        meter=RecallMeter(
            parts.split,
            parts.material,
            ledger,
            parts.cost,
            fast.num_parameters,
            alone=alone,
            questions=QUESTIONS if share < 1 else None,
        ),
        guard=guard or Guard(base.model, protocol.plain_ids(unrelated_text(), start=True), config.guard, ledger, parts.cost),
        ledger=ledger,
        config=sleep,
        allocator=allocator,
        listener=listener,
        share=share,
    )


def make_dreamer(base: Base, config: Config, protocol: Protocol, ledger: Ledger) -> Dreamer | None:
    """What asks about chunks before they are slept on; None where nobody learned to, where passes do not read it, and under a budget, which
    buys passes first."""
    asker, wanted = protocol.asker, config.dreams.per_sentence and resolved_sleep(config, protocol).passes
    if asker is None or not wanted or ledger.limited or not RULES[protocol.rule].uses >= DREAMS:
        return None
    assert protocol.learned is not None
    cost = CostModel.of(base.model)
    asks, answers = (Voice(base.model, sites, ledger, cost, "dreams") for sites in (asker, protocol.learned))
    return Dreamer(asks, answers, protocol, config.dreams, config.seed)


def resolved_sleep(config: Config, protocol: Protocol) -> ResolvedSleep:
    """The configuration of a sleep with this protocol."""
    return config.sleep.resolved(protocol.trained_passes, protocol.ceiling.n_star if protocol.ceiling else None)


def measured_curves(config: Config, protocol: Protocol) -> CurveTable | None:
    """What allocators predict from: the configured file, else what was measured with the protocol, else nothing."""
    return read_curves(Path(config.sleep.curves)) if config.sleep.curves else protocol.curves


def make_rule(base: Base, config: Config, protocol: Protocol, fast: FastWeights, ledger: Ledger) -> WriteRule:
    """The protocol's write rule on these fast weights."""
    return RULES[protocol.rule].rule(make_rule_parts(base, config, protocol, fast, ledger))


def make_rule_parts(base: Base, config: Config, protocol: Protocol, fast: FastWeights, ledger: Ledger) -> RuleParts:
    """What every write rule is made from. The model is cut below the lowest module that is written to: what a static reader changes further
    down is the same at every pass."""
    split = SplitModel(base.model, lowest_layer(base.model, protocol.learned.names if protocol.learned else list(fast.factors)))
    return RuleParts(
        split=split,
        fast=fast,
        material=StudyMaterial(protocol, config.probes, config.seed, longest_prefix=split.longest_prefix),
        ledger=ledger,
        cost=CostModel.of(base.model),
        study=config.study,
        learned=protocol.learned,
        kept_energy=protocol.kept_energy,
    )


def question_chunks(config: Config, protocol: Protocol) -> int:
    """Most chunks that a question is answered from, "auto" resolved; 0 for all."""
    wanted = config.fast_weights.question_chunks
    if protocol.learned is None or not protocol.learned.separable:
        return 0
    return protocol.question_chunks if wanted == "auto" else wanted


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
