"""The ridge write with nothing learned: any base model can sleep with it, and what was made before it still answers."""

from pathlib import Path

import torch

from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.protocol.unlearned import unlearned_protocol
from nrem.consolidation.write.ridge_site import Ridge
from nrem.memory.memory import Memory
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.session import Session
from tests import tiny


def test_auto_is_the_unlearned_ridge_where_no_protocol_fits(base: Base) -> None:
    protocol = make_protocol(base, tiny.make_config("protocol.name=auto"))
    assert isinstance(protocol.learned, Ridge)
    assert protocol.id == "unlearned-ridge"
    for _, site in protocol.learned.items():
        assert float(site.background.weights.sum()) > 0
        assert torch.equal(site.W2, torch.eye(*site.W2.shape))
    assert not any(p.requires_grad for p in protocol.learned.parameters())


def test_a_model_with_outputs_a_hundred_times_as_large_is_written_a_hundred_times_as_much(llama: Base) -> None:
    """What a gain does must not depend on a family's norms: the MLP of Gemma 3 puts out a hundredth of what that of SmolLM2 does."""
    first = unlearned_protocol(llama.model, llama.tokenizer, tiny.STORY)
    assert isinstance(first.learned, Ridge)
    last = first.learned.names[-1]
    module = llama.model.get_submodule(last)
    with torch.no_grad():
        module.weight.mul_(100)
    try:
        second = unlearned_protocol(llama.model, llama.tokenizer, tiny.STORY)
    finally:
        with torch.no_grad():
            module.weight.div_(100)
    assert isinstance(second.learned, Ridge)
    x, V, strength = torch.randn(1, 5, first.learned[last].d_in), torch.randn(1, 5, first.learned[last].d_out), torch.ones(1, 5)
    small, large = (ridge[last].solve_dual(x, V, strength).dense for ridge in (first.learned, second.learned))
    torch.testing.assert_close(large, 100 * small, atol=1e-4, rtol=1e-3)


def test_it_is_measured_the_same_every_time(llama: Base) -> None:
    first, second = (unlearned_protocol(llama.model, llama.tokenizer, tiny.STORY) for _ in range(2))
    assert first.sha256 == second.sha256
    for (name, a), (_, b) in zip(first.learned.named_buffers(), second.learned.named_buffers(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(a, b), name


def test_a_pass_tells_the_text_from_another_one(llama: Base) -> None:
    """Even before training the tokens of a text become more likely where the text was written."""
    memory = consolidate(
        Document.from_text(tiny.STORY), base=llama, config=tiny.make_config("protocol.name=unlearned", "guard.enabled=false")
    )
    ids = torch.tensor([llama.tokenizer(tiny.STORY, add_special_tokens=False).input_ids[:120]])

    def loss() -> float:
        with torch.no_grad():
            return float(llama.model(input_ids=ids, labels=ids).loss)

    before = loss()
    with memory.attached(llama.model):
        assert loss() < before


def test_memories_made_by_study_items_when_auto_meant_those_still_answer(llama: Base, tmp_path: Path) -> None:
    config = tiny.make_config("guard.enabled=false")
    memory = consolidate(Document.from_text(tiny.STORY), base=llama, config=config)
    memory.record.config["protocol"]["name"] = "auto"
    memory.save(tmp_path / "memory")
    loaded = Memory.load(tmp_path / "memory")
    session = Session(loaded, base=llama)
    assert session.protocol.sha256 == Protocol(llama.tokenizer).sha256
    assert session.answer("Who kept the Orrin lighthouse?").question
