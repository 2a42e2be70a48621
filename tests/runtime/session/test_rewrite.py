"""Ridge memories: extended, merged, or with chunks forgotten, each equals the one made from scratch; a saved one is a small plain LoRA."""

from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import UsageError
from nrem.memory.memory import Memory
from nrem.memory.saved.files import ADAPTER_WEIGHTS, STATISTICS
from nrem.runtime.measure.evaluate import Question, evaluate_memory
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.rewrite import forget, merge
from nrem.runtime.session.session import Session
from tests import tiny
from tests.written import change, difference

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
TOLERANCE = 0.02
"""Of what memories write, relative: in another batch an entry may differ in its last bits, and files keep bfloat16."""


@pytest.fixture(scope="module")
def protocol(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("protocols") / "tiny"
    return save_protocol(folder, tiny.make_ridge_protocol(llama), llama.identity, {})


def sleep_on(base: Base, protocol: Path, *texts: str, passes: int = 3, settings: tuple[str, ...] = ()) -> Memory:
    made = (f"protocol.name={protocol}", f"sleep.passes={passes}", "sleep.allocator=uniform", "guard.enabled=false")
    documents = [Document.from_text(text, f"document {number}") for number, text in enumerate(texts)]
    return consolidate(*documents, base=base, config=tiny.make_config(*made, *settings))


@pytest.mark.parametrize("passes", [1, 3])
def test_merged_equals_slept_on_together_and_forgetting_undoes_it(llama: Base, protocol: Path, passes: int) -> None:
    alone, other = (sleep_on(llama, protocol, text, passes=passes) for text in (tiny.STORY, OTHER))
    both = sleep_on(llama, protocol, tiny.STORY, OTHER, passes=passes)
    merged = merge(alone, other, base=llama)
    assert difference(merged, both) < TOLERANCE
    assert difference(alone, both) > 5 * TOLERANCE, "the other document changes what is written"
    count = len(alone.record.chunks)
    left = forget(merged, range(count, len(merged.record.chunks)), base=llama)
    assert difference(left, alone) < TOLERANCE
    assert left.text is not None
    assert all("Ines Vow" not in chunk.text for chunk in left.text)
    assert difference(forget(merged, range(count), base=llama), other) < TOLERANCE


def test_the_last_look_of_a_sleep_sees_what_it_wrote(llama: Base, protocol: Path) -> None:
    for text in (tiny.STORY, OTHER):  # a second time in the same session, over other factors than the first
        memory = sleep_on(llama, protocol, tiny.STORY, text)
        asked = [c for c in memory.record.chunks if c.num_probes]
        assert asked
        assert all(c.nll_after != c.nll_before for c in asked)


def test_extended_equals_slept_on_together(llama: Base, protocol: Path, tmp_path: Path) -> None:
    sleep_on(llama, protocol, tiny.STORY).save(tmp_path / "old")
    longer = extend(Memory.load(tmp_path / "old"), Document.from_text(OTHER, "document 1"), base=llama)
    assert difference(longer, sleep_on(llama, protocol, tiny.STORY, OTHER)) < TOLERANCE


def test_chunks_keep_their_levels_when_others_come_or_go(llama: Base, protocol: Path, tmp_path: Path) -> None:
    """Three passes of the old text and one of the new, whichever was written last."""
    sleep_on(llama, protocol, tiny.STORY, passes=3).save(tmp_path / "deep")
    memory = Memory.load(tmp_path / "deep")
    memory.record.config["sleep"]["passes"] = 1
    longer = extend(memory, Document.from_text(OTHER, "document 1"), base=llama)
    merged = merge(sleep_on(llama, protocol, tiny.STORY, passes=3), sleep_on(llama, protocol, OTHER, passes=1), base=llama)
    assert [c.passes for c in longer.record.chunks] == [c.passes for c in merged.record.chunks]
    assert difference(longer, merged) < TOLERANCE
    assert difference(longer, sleep_on(llama, protocol, tiny.STORY, OTHER, passes=3)) > TOLERANCE


def test_segments_are_written_anew_one_by_one(llama: Base, protocol: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER, settings=("fast_weights.segment_chunks=2",))
    gone = [c.index for c in memory.record.chunks if c.segment == 0][:1]
    left = forget(memory, gone, base=llama)
    before, after = change(memory), change(left)
    name = next(iter(memory.segments[0].weights.factors))
    assert not torch.equal(after[f"0 {name}"], before[f"0 {name}"])
    assert torch.equal(after[f"1 {name}"], before[f"1 {name}"])


def test_a_saved_memory_is_a_plain_lora_without_statistics(base: Base, tmp_path: Path) -> None:
    protocol = save_protocol(tmp_path / "protocol", tiny.make_ridge_protocol(base), base.identity, {})
    memory = sleep_on(base, protocol, tiny.STORY)
    folder = memory.save(tmp_path / "memory")
    assert not (folder / STATISTICS).exists()
    assert all(t.dtype == torch.bfloat16 for t in load_file(folder / ADAPTER_WEIGHTS).values())
    with memory.attached(base.model):
        mine = tiny.logits_of(base)
    with Memory.load(folder).attached(base.model):
        assert torch.equal(tiny.logits_of(base), mine)
    before = tiny.logits_of(base)
    assert not torch.allclose(before, mine, atol=1e-3)
    opened = peft.PeftModel.from_pretrained(base.model, str(folder))
    ids = torch.tensor([base.tokenizer(tiny.STORY[:200], add_special_tokens=False).input_ids])
    with torch.no_grad():
        assert torch.equal(opened(input_ids=ids, use_cache=False).logits[0], mine)
    opened.unload()


def test_what_follows_from_texts_needs_them(llama: Base, protocol: Path, tmp_path: Path) -> None:
    sleep_on(llama, protocol, tiny.STORY).save(tmp_path / "blind", forget_text=True)
    blind = Memory.load(tmp_path / "blind")
    with pytest.raises(UsageError, match="has forgotten its text, which the others are written anew from"):
        forget(blind, [0], base=llama)
    with pytest.raises(UsageError, match=r"forget: this memory has the chunks 0 to \d+, got 99"):
        forget(sleep_on(llama, protocol, tiny.STORY), [99])


def test_ask_puts_the_found_chunk_in_the_prompt_where_the_text_was_kept(llama: Base, protocol: Path, tmp_path: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER)
    session, question = Session(memory, base=llama), "Who built the mill of Sarn?"
    found = session.answer(question)
    assert found.way == "ensemble"
    assert found.document_tokens > 0
    (place,) = found.leans_on
    assert memory.text is not None
    assert "Ines Vow" in memory.text.get(place["chunk"]).text
    assert (place["document"], place["start"]) == ("document 1", 0)
    direct = session.answer(question, "direct")
    assert (direct.way, direct.document_tokens, direct.leans_on) == ("direct", 0, ())
    assert [a.answer for a in session.answers([question, "xyzzy"])] == [found.answer, session.answer("xyzzy", "direct").answer]
    memory.save(tmp_path / "blind", forget_text=True)
    blind = Session(Memory.load(tmp_path / "blind"), base=llama, config=session.config)
    assert blind.answer(question).answer == direct.answer
    with pytest.raises(UsageError, match="has forgotten its text, and there is nothing to search"):
        blind.answer(question, "search")


def test_eval_scores_the_adapter_with_the_found_chunk(llama: Base, protocol: Path) -> None:
    memory = sleep_on(llama, protocol, tiny.STORY, OTHER)
    asked = [Question(id="1", question="Who built the mill of Sarn?", answers=("Ines Vow",))]
    arms = evaluate_memory(llama, memory, asked, arms=("memory", "ensemble")).arms
    session = Session(memory, base=llama)
    assert arms["memory"][0].answer.answer == session.answer(asked[0].question, "direct").answer
    assert arms["ensemble"][0].answer.answer == session.answer(asked[0].question).answer
    assert arms["ensemble"][0].nll != arms["memory"][0].nll


def test_an_adapter_has_no_more_columns_than_tokens_were_written(llama: Base, protocol: Path) -> None:
    memory = sleep_on(llama, protocol, "Ines Vow left in 1790.", passes=2)
    assert [c.passes for c in memory.record.chunks] == [2]
    assert memory.weights.rank <= 2 + memory.record.num_tokens + 2, "those of the reader, and one a token, start and end included"
    assert sleep_on(llama, protocol, tiny.STORY, passes=2).weights.rank > memory.weights.rank
