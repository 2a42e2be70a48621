"""The dreamer: what it says with one cache for all cues is what the model generates cue by cue, and what it computes is what it debits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream import dreamer as dreamer_file
from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.dream.cue import cue_ids, goal_ids, sentences_to_ask, text_ids
from nrem.consolidation.dream.doubt import Doubt
from nrem.consolidation.dream.dreamer import LONGEST_SAID, Dreamer
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.lend import lent
from nrem.memory.errors import BudgetError, UsageError
from nrem.memory.stream.chunk import Chunk, QuestionAnswer
from nrem.runtime.models.load import Base
from tests import tiny
from tests.dreaming import make_asker, understood

ALL = 1e9
"""Nats of doubt that nothing reaches."""


def make_chunk(text: str = tiny.STORY) -> Chunk:
    return Chunk(document="d", title="Orrin", index=0, start=0, end=len(text), text=text, num_tokens=len(text))


@pytest.fixture(scope="module", params=list(tiny.FAMILIES))
def wordy(request: pytest.FixtureRequest) -> Base:
    """A model of every family whose head is not its embedding: else it says what it has just read, whatever came before."""
    base = tiny.make_base(request.param)
    head = base.model.get_output_embeddings()
    weight = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(3))
    head.weight = torch.nn.Parameter(weight, requires_grad=False)
    return base


@dataclass
class Night:
    """A dreamer and what it is made from."""

    dreamer: Dreamer
    protocol: Protocol
    ledger: Ledger
    heard: list[list[int]] = field(default_factory=list)
    """What was said to each cue."""

    def generated(self, base: Base, text: str) -> list[list[int]]:
        """What the model itself says to each cue, asked one by one, the whole prompt at once."""
        known = text_ids(self.protocol, text)
        with lent(base.model, self.dreamer.asker, None):
            return [generate(base, known + cue_ids(self.protocol, s), self.protocol.stop_id) for s in sentences_to_ask(text)]


def make_night(base: Base, monkeypatch: pytest.MonkeyPatch, *, seed: int = 0, cost: CostModel | None = None, **settings: Any) -> Night:
    """With an ear that takes whatever is said for a question, and nothing doubted."""
    protocol, ledger, cost = tiny.make_ridge_protocol(base), Ledger(), cost or CostModel.of(base.model)
    assert protocol.learned is not None
    config = DreamConfig(**({"most_doubt": ALL, "per_sentence": 1} | settings))
    doubt = Doubt(base.model, protocol.learned, protocol, ledger, cost)
    night = Night(Dreamer(base.model, make_asker(protocol, scale=1.0), doubt, protocol, config, ledger, cost, seed), protocol, ledger)

    def heard(prompts: Any, ids: list[int], text: str) -> QuestionAnswer:
        night.heard.append(ids)
        return understood(prompts, ids, text)

    monkeypatch.setattr(dreamer_file, "read_back", heard)
    return night


@torch.no_grad()
def generate(base: Base, prompt: list[int], stop: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = base.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=LONGEST_SAID, do_sample=False, eos_token_id=stop, pad_token_id=stop
    )
    return [int(token) for token in out[0, len(prompt) :]]


def stopping(night: Night, rows: list[list[int]]) -> None:
    """Let the token end rows that ends them at the most different times."""
    ends = {token: {row.index(token) if token in row else -1 for row in rows} for row in rows for token in row}
    night.protocol.__dict__["stop_id"] = max(sorted(ends), key=lambda token: (len(ends[token]), -1 in ends[token]))


@torch.no_grad()
def check_logits(base: Base, night: Night, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dream about a text, with tokens drawn at random so that rows drop out one after the other: all logits on the way are those of a plain
    forward over the whole prompt."""
    steps: list[Tensor] = []
    drawn = torch.Generator().manual_seed(0)

    def any_token(logits: Tensor, sampled: Tensor, generator: torch.Generator) -> Tensor:
        steps.append(logits)
        tokens = torch.randint(256, (len(logits), 1), generator=drawn)
        return tokens.masked_fill(torch.rand(tokens.shape, generator=drawn) < 0.15, night.protocol.stop_id)

    monkeypatch.setattr(night.dreamer, "_next", any_token)
    night.dreamer.dream(make_chunk(text))
    known, sentences = text_ids(night.protocol, text), sentences_to_ask(text)
    assert len({len(cue_ids(night.protocol, s)) for s in sentences}) > 4, "rows are padded"
    assert len(set(map(len, night.heard))) > 3, "rows drop out"
    for row, sentence in enumerate(sentences):
        prompt = known + cue_ids(night.protocol, sentence)
        with lent(base.model, night.dreamer.asker, None):
            whole = base.model(input_ids=torch.tensor([prompt + night.heard[row][:-1]]), use_cache=False).logits[0, len(prompt) - 1 :]
        for step, logits in enumerate(whole):
            going = [i for i, said in enumerate(night.heard) if len(said) > step]
            torch.testing.assert_close(steps[step][going.index(row)], logits, atol=2e-3, rtol=1e-3)
    assert float(steps[0].std(0).max()) > 0.05, "what is said depends on the cue"
    bare = base.model(input_ids=torch.tensor([known + cue_ids(night.protocol, sentences[0])])).logits[0, -1]
    assert float((steps[0][0] - bare).abs().max()) > 0.05, "and on the asker"


def test_what_it_says_is_what_the_model_generates_cue_by_cue(wordy: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night(wordy, monkeypatch)
    stopping(night, night.generated(wordy, tiny.STORY))
    night.dreamer.dream(make_chunk())
    assert night.heard == night.generated(wordy, tiny.STORY)


def test_further_questions_are_drawn_beside_the_likeliest(wordy: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cue is read once, whatever is said to it."""
    night = make_night(wordy, monkeypatch, per_sentence=3, temperature=10.0)
    likeliest = night.generated(wordy, tiny.STORY)
    stopping(night, likeliest)
    night.dreamer.dream(make_chunk())
    assert night.heard[::3] == night.generated(wordy, tiny.STORY)
    assert night.heard[1::3] != night.heard[::3] != night.heard[2::3]


@pytest.mark.parametrize("copies", [1, 2])
def test_every_logit_is_that_of_the_whole_prompt(wordy: Base, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a text is longer than a window that slides."""
    text = tiny.STORY.replace("Aldo", "Hannibal, the younger one of the two,")
    if copies == 2:
        text += "\n\n" + tiny.STORY.replace("1871", "1902")
        assert wordy.count_tokens(text) > 512 + 300
    check_logits(wordy, make_night(wordy, monkeypatch), text, monkeypatch)


def test_many_cues_are_answered_in_several_batches(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night(llama, monkeypatch, per_sentence=3)
    together = night.dreamer.dream(make_chunk()).dreamt
    likeliest = night.heard[::3]
    night.heard.clear()
    monkeypatch.setattr(dreamer_file, "ROWS", 4)
    night.dreamer.dream(make_chunk())
    assert night.heard[::3] == likeliest == night.generated(llama, tiny.STORY)
    assert len(night.heard) == 3 * len(likeliest)
    assert len(together) > len(likeliest)


def test_the_same_chunk_and_seed_give_the_same_dreams(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, other = make_chunk(), make_chunk("The mill of Sarn was built in 1790. Ines Vow ground rye there.")
    night = make_night(llama, monkeypatch, per_sentence=3)
    first = night.dreamer.dream(chunk)
    assert night.dreamer.dream(other).dreamt != first.dreamt
    torch.rand(5)
    assert night.dreamer.dream(chunk) == first, "whatever was dreamt or drawn before"
    assert night.dreamer.dream(first) == first
    assert make_night(llama, monkeypatch, per_sentence=3).dreamer.dream(chunk) == first
    assert replace(first, dreamt=()) == chunk


def test_the_seed_and_the_temperature_change_what_is_sampled_alone(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    def heard(**settings: Any) -> list[list[int]]:
        night = make_night(llama, monkeypatch, **settings)
        night.dreamer.dream(make_chunk())
        return night.heard

    straight, other, hot = heard(per_sentence=2), heard(per_sentence=2, seed=1), heard(per_sentence=2, temperature=5.0)
    assert straight[::2] == other[::2] == hot[::2] == heard(per_sentence=1) == heard(per_sentence=1, seed=1)
    assert straight[1::2] != other[1::2]
    assert straight[1::2] != hot[1::2]
    assert straight[1::2] != straight[::2]


def test_a_low_temperature_is_greedy(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night(llama, monkeypatch, per_sentence=2, temperature=1e-6)
    dreamt = night.dreamer.dream(make_chunk()).dreamt
    assert night.heard[1::2] == night.heard[::2]
    assert len(dreamt) == len({tuple(row) for row in night.heard}), "each question once"


@contextmanager
def counted(model: Any) -> Iterator[dict[str, int]]:
    """Tokens that go through the layers, and through the head."""
    found = {"tokens": 0, "head": 0}

    def hook(name: str) -> Any:
        def count(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] += output[..., 0].numel()

        return count

    handles = [
        model.get_input_embeddings().register_forward_hook(hook("tokens")),
        model.get_output_embeddings().register_forward_hook(hook("head")),
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def test_what_is_debited_is_what_was_computed(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention aside, to the token; and that costs something, too."""
    cost = replace(CostModel.of(base.model), attention_width=0)
    night = make_night(base, monkeypatch, cost=cost, per_sentence=2)
    stopping(night, night.generated(base, tiny.STORY))
    asker, reader = night.dreamer.asker.reader_weights, night.dreamer.doubt.reader.reader_weights
    doubt, asked = night.dreamer.doubt, [QuestionAnswer("Who sailed?", "Aldo"), QuestionAnswer("When did the harbour freeze?", "1858")]
    for work, attached in (
        (lambda: night.dreamer.dream(make_chunk()), asker),
        (lambda: doubt.of(tiny.STORY, asked), reader),
    ):
        monkeypatch.setattr(night.dreamer, "doubt", type("Trusting", (), {"of": lambda self, text, asked: [0.0] * len(asked)})())
        night.ledger.fet.clear()
        with counted(base.model) as found:
            work()
        flops = 2 * (cost.layer_weights * cost.num_layers + attached) * found["tokens"] + 2 * cost.head_weights * found["head"]
        assert night.ledger.fet.keys() == {"dreams"}
        assert night.ledger.fet["dreams"] == pytest.approx(flops / cost.flops_per_fet)
    assert night.ledger.seconds["dreams"] > 0
    attending = make_night(base, monkeypatch, per_sentence=2)
    attending.dreamer.dream(make_chunk())
    without = make_night(base, monkeypatch, cost=cost, per_sentence=2)
    without.dreamer.dream(make_chunk())
    assert attending.ledger.fet["dreams"] > without.ledger.fet["dreams"]


def test_a_ledger_that_cannot_pay_is_told(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night(llama, monkeypatch)
    night.ledger.limit_fet = 100.0
    with pytest.raises(BudgetError, match=r"budget: dreams needs [\d,]+ FET"):
        night.dreamer.dream(make_chunk())
    assert not any(module._forward_hooks for module in llama.model.modules())


@pytest.mark.parametrize("text", ["Orrin", "", "\n", "No, no!"])
def test_where_nothing_can_be_asked_nothing_is_computed(llama: Base, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    night = make_night(llama, monkeypatch)
    chunk = make_chunk(text)
    assert night.dreamer.dream(chunk) is chunk
    assert night.ledger.fet == {}


def test_what_is_not_understood_is_left_out(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model says nothing that is in the text."""
    night = make_night(llama, monkeypatch)
    monkeypatch.undo()
    assert night.dreamer.dream(make_chunk()).dreamt == ()


def test_what_was_said_is_read_back_with_its_chunk(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the real ear: a question that comes twice is kept once, with its first answer."""
    night = make_night(llama, monkeypatch)
    monkeypatch.undo()
    first, twice, lie = QuestionAnswer("Who sailed?", "Aldo"), QuestionAnswer("who SAILED?", "Maren"), QuestionAnswer("Who?", "Bertha")
    rows = [goal_ids(night.protocol, asked) for asked in (first, twice, lie, QuestionAnswer("What froze?", "harbour"))]
    monkeypatch.setattr(night.dreamer, "_say", lambda text, cache, cues, generator: rows)
    assert night.dreamer.dream(make_chunk()).dreamt == (first, QuestionAnswer("What froze?", "harbour"))


def test_what_the_reader_doubts_is_left_out(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night(llama, monkeypatch, per_sentence=2)
    everything = night.dreamer.dream(make_chunk()).dreamt
    doubts = night.dreamer.doubt.of(tiny.STORY, everything)
    bound = sorted(doubts)[len(doubts) // 2]
    some = make_night(llama, monkeypatch, per_sentence=2, most_doubt=bound).dreamer.dream(make_chunk()).dreamt
    assert some == tuple(a for a, doubt in zip(everything, doubts, strict=True) if doubt <= bound)
    assert 0 < len(some) < len(everything)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"per_sentence": -1}, "per_sentence: got -1, expected 0 to 16 questions"),
        ({"per_sentence": 17}, "per_sentence: got 17, expected 0 to 16 questions"),
        ({"temperature": 0.0}, "temperature: got 0, expected more than 0, and at most 10"),
        ({"temperature": float("nan")}, "temperature: got nan, expected more than 0, and at most 10"),
        ({"most_doubt": -0.1}, "most_doubt: got -0.1, expected 0 or more nats per token"),
        ({"most_doubt": float("nan")}, "most_doubt: got nan, expected 0 or more nats per token"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        DreamConfig(**settings)
