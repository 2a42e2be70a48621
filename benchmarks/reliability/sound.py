"""A sound memory and an unfinished sleep on a tiny random model, to be spoilt: with statistics, two segments and text. Seconds to make.

Their answers mean nothing; that they stay the same is what counts.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.harness import common
from nrem.consolidation.events import PassDone
from nrem.consolidation.protocol.folder import save_protocol
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.learned import Sizes
from nrem.consolidation.write.rules import trainable
from nrem.memory.memory import Memory
from nrem.memory.saved.journal import Journal
from nrem.memory.weights.fast_weights import first_layer
from nrem.memory.weights.layers import find_targets
from nrem.runtime.config import Config, ProtocolConfig
from nrem.runtime.models.load import Base, load
from nrem.runtime.models.tiny import tiny_base, tiny_config
from nrem.runtime.readers.document import Document
from nrem.runtime.session import resume
from nrem.runtime.session.session import Session

TEXT = (
    "Maren Tull kept the Orrin lighthouse from 1843 to 1871. The lamp burned 60 litres of oil a night.\n\n"
    "The harbour froze on 12 January 1858, and the boat was lost. Sixteen men walked home over the ice.\n\n"
    "In 1871 the lamp was sold to Bertram Frost, a glass maker of Hallow, who used its lens for 20 years."
)
QUESTIONS = ("Who kept the lighthouse?", "When did the harbour froze?", "Who bought the lamp?")


class Sound(NamedTuple):
    """What there is to spoil, and what made it."""

    base: Base
    config: Config
    model: Path
    """The base's folder, as a user would name it."""
    memory: Path
    unfinished: Path


def make_sound(folder: Path) -> Sound:
    """Make everything in a folder."""
    tiny = tiny_base()
    tiny.model.save_pretrained(folder / "base")
    tiny.tokenizer.save_pretrained(folder / "base")
    base = load(str(folder / "base"), dtype="fp32")
    protocol = save_protocol(folder / "protocol", _keyed(base), base.identity, {})
    config = tiny_config()
    config = replace(
        config,
        protocol=ProtocolConfig(name=str(protocol)),
        fast_weights=replace(config.fast_weights, segment_chunks=1, question_chunks=1),
        stream=replace(config.stream, window_tokens=128),
        guard=replace(config.guard, enabled=False),
    )
    document = Document.from_text(TEXT, "orrin")
    memory = Session(base=base, config=config).stream(document).save(folder / "memory")
    return Sound(base, config, folder / "base", memory, _unfinished(base, config, document, folder / "memory.unfinished"))


def _unfinished(base: Base, config: Config, document: Document, folder: Path) -> Path:
    """A sleep that was cut off in its second segment, with a checkpoint after every pass."""
    passes = 0

    def cut_off(event: object) -> None:
        nonlocal passes
        passes += isinstance(event, PassDone)
        if passes == 4:
            raise KeyboardInterrupt

    before, resume.CHECKPOINT_SECONDS = resume.CHECKPOINT_SECONDS, 0.0
    try:
        Session(base=base, config=config, listener=cut_off, journal=Journal.open(folder)).stream(document)
    except KeyboardInterrupt:
        pass
    finally:
        resume.CHECKPOINT_SECONDS = before
    return folder


def _keyed(base: Base) -> Protocol:
    """A protocol with random parameters whose rule keeps statistics."""
    shapes = find_targets(base.model, "auto", first_layer(base.model, "upper-half")).shapes
    modules = {name: (d_in, d_out) for name, (d_in, d_out, _) in shapes.items()}
    d_model = base.model.get_output_embeddings().weight.shape[1]
    generator = torch.Generator().manual_seed(0)
    learned = trainable()["keyed"].create(Sizes(modules=modules, d_model=d_model, rank=6, reader_rank=2, max_passes=2), generator)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        learned.settle({name: torch.randn(32, site.d_in, generator=generator) for name, site in learned.items()})
    learned.requires_grad_(False)
    return Protocol(base.tokenizer, id="tiny", rule="keyed", template="plain", trained_passes=2, learned=learned)


def environment(base: Base) -> dict[str, Any]:
    """Of the run; the model is made on the spot."""
    return common.environment(base) | {"model": "tiny, random", "command": f"python -m benchmarks.reliability.{Path(sys.argv[0]).stem}"}


def contents(memory: Memory) -> list[bytes]:
    """All that a memory says, to be compared: record, tensors, statistics, text, and what a few questions find."""
    tensors: list[torch.Tensor] = []
    for segment in memory.segments:
        tensors += segment.weights.tensors().values()
        tensors += segment.written.tensors().values() if segment.written else ()
    said = [repr(memory.record.to_dict() | {"files": ""}).encode(), repr(list(memory.text or ())).encode()]
    found = [repr([hit for question in QUESTIONS for hit in _search(memory, question)]).encode()]
    return [*said, *found, *(t.detach().reshape(-1).view(torch.uint8).numpy().tobytes() for t in tensors)]


def _search(memory: Memory, question: str) -> Sequence[object]:
    return memory.text.search(question, 3) if memory.text is not None else ()
