"""The voice: what it says beside other things in one row is what the model generates prompt by prompt, and what it computes it debits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nrem.consolidation.budget import CostModel, Ledger
from nrem.consolidation.dream import voice as voice_file
from nrem.consolidation.dream.beside import Tokens
from nrem.consolidation.dream.voice import Manner, Said, Voice
from nrem.consolidation.write.lend import lent
from nrem.memory.errors import BudgetError
from nrem.runtime.models.load import Base
from tests import tiny
from tests.dreaming import make_asker

MOST = 20
PROMPTS = [
    "About: Maren kept the lamp.\nQuestion:",
    "Who?",
    "When, on which day, did Aldo sail to Wexley?",
    "What froze:",
    "Why",
]


@pytest.fixture(scope="module", params=list(tiny.FAMILIES))
def wordy(request: pytest.FixtureRequest) -> Base:
    """A model of every family whose head is not its embedding: else it says what it has just read, whatever came before."""
    base = tiny.make_base(request.param)
    head = base.model.get_output_embeddings()
    weight = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(3))
    head.weight = torch.nn.Parameter(weight, requires_grad=False)
    return base


@dataclass
class Speaker:
    """A voice, and its base model's own."""

    base: Base
    voice: Voice
    stop: int = 257

    def say(self, text: str = tiny.STORY, **manner: Any) -> list[Said]:
        (said,) = self.say_about([text], [PROMPTS], **manner)
        return said

    def say_about(self, texts: Sequence[str], prompts: Sequence[Sequence[str]], **manner: Any) -> list[list[Said]]:
        asked = [[self.ids(prompt) for prompt in mine] for mine in prompts]
        return self.voice.say([self.ids(text) for text in texts], asked, Manner(self.ends, MOST, **manner))

    def ids(self, text: str) -> list[int]:
        return list(self.base.tokenizer(text)["input_ids"])

    def ends(self, ids: Sequence[int]) -> bool:
        return ids[-1] == self.stop

    @torch.no_grad()
    def generated(self, text: str = tiny.STORY) -> list[list[int]]:
        """By the model itself, prompt by prompt, everything at once."""
        out = []
        with lent(self.base.model, self.voice.sites, None):
            for prompt in PROMPTS:
                ids = torch.tensor([self.ids(text) + self.ids(prompt)])
                options = {"max_new_tokens": MOST, "do_sample": False, "eos_token_id": self.stop, "pad_token_id": self.stop}
                made = self.base.model.generate(ids, attention_mask=torch.ones_like(ids), **options)
                out.append([int(token) for token in made[0, ids.shape[1] :]])
        return out

    def stopping(self) -> "Speaker":
        """Let the token end things that ends them at the most different times."""
        rows = self.generated()
        ends = {token: {row.index(token) if token in row else -1 for row in rows} for row in rows for token in row}
        return replace(self, stop=max(sorted(ends), key=lambda token: (len(ends[token]), -1 in ends[token])))


def make_speaker(base: Base, cost: CostModel | None = None) -> Speaker:
    asker = make_asker(tiny.make_ridge_protocol(base), scale=1.0)
    return Speaker(base, Voice(base.model, asker, Ledger(), cost or CostModel.of(base.model), "dreams"))


def ids_of(said: Sequence[Said]) -> list[list[int]]:
    return [one.ids for one in said]


def nats_of(said: Sequence[Sequence[Said]]) -> Tensor:
    return torch.tensor([one.nats for mine in said for one in mine])


def test_what_it_says_is_what_the_model_generates_prompt_by_prompt(wordy: Base) -> None:
    speaker = make_speaker(wordy).stopping()
    generated = speaker.generated()
    assert len(set(map(len, generated))) > 1, "some end before others"
    assert ids_of(speaker.say()) == generated


def test_further_things_are_drawn_beside_the_likeliest(wordy: Base) -> None:
    speaker = make_speaker(wordy).stopping()
    said = ids_of(speaker.say(times=3, temperature=10.0, seed=0))
    assert said[::3] == speaker.generated()
    assert said[1::3] != said[::3] != said[2::3]
    assert said == ids_of(speaker.say(times=3, temperature=10.0, seed=0))
    cold = ids_of(speaker.say(times=2, temperature=1e-6, seed=0))
    assert cold[1::2] == cold[::2] == said[::3]


@pytest.mark.parametrize("copies", [1, 2])
@torch.no_grad()
def test_every_logit_is_that_of_the_whole_prompt(wordy: Base, copies: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a text is longer than a window that slides, whatever is said, and while things end one after the other; NLL as well."""
    speaker, steps, drawn = make_speaker(wordy), [], torch.Generator().manual_seed(0)
    text = tiny.STORY * copies
    assert copies == 1 or wordy.count_tokens(text) > 512 + 300

    def any_token(logits: Tensor, tokens: Tokens, manner: Manner, draws: Sequence[torch.Generator]) -> Tensor:
        steps.append(logits)
        ids = torch.randint(256, (len(logits),), generator=drawn)
        return ids.masked_fill(torch.rand(ids.shape, generator=drawn) < 0.15, speaker.stop)

    monkeypatch.setattr(Voice, "_next", staticmethod(any_token))
    said = speaker.say(text)
    assert len(set(map(len, ids_of(said)))) > 2
    for row, (one, prompt) in enumerate(zip(said, PROMPTS, strict=True)):
        before = speaker.ids(text) + speaker.ids(prompt)
        with lent(wordy.model, speaker.voice.sites, None):
            whole = wordy.model(input_ids=torch.tensor([before + one.ids[:-1]]), use_cache=False).logits[0, len(before) - 1 :]
        for step, logits in enumerate(whole):
            going = [i for i, other in enumerate(said) if len(other.ids) > step]
            torch.testing.assert_close(steps[step][going.index(row)], logits, atol=2e-3, rtol=1e-3)
        assert one.nll == pytest.approx(float(F.cross_entropy(whole.float(), torch.tensor(one.ids))), abs=2e-3, rel=1e-3)
    assert float(steps[0].std(0).max()) > 0.05, "what is said depends on the prompt"
    bare = wordy.model(input_ids=torch.tensor([speaker.ids(text) + speaker.ids(PROMPTS[0])])).logits[0, -1]
    assert float((steps[0][0] - bare).abs().max()) > 0.05, "and on what is attached"


def test_many_prompts_are_answered_in_several_batches(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = make_speaker(llama).stopping()
    together = ids_of(speaker.say())
    monkeypatch.setattr(voice_file, "ROWS", 2)
    assert ids_of(speaker.say()) == together
    assert speaker.say_about(["Orrin"], [[]]) == [[]]
    assert speaker.say_about([], []) == []


def test_what_is_said_about_a_text_does_not_depend_on_other_texts(wordy: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any length, asked about more or less, in one batch or several; what is drawn, and when those that go on too long are cut off."""
    speaker = make_speaker(wordy).stopping()
    texts = ["Orrin.", tiny.STORY, tiny.STORY * 2, "Aldo sailed the boat to Wexley."]
    prompts = [PROMPTS[:2], PROMPTS * 3, [], PROMPTS]
    manner: dict[str, Any] = {"times": 2, "temperature": 5.0, "seed": 1}
    alone = [speaker.say_about([text], [mine], **manner)[0] for text, mine in zip(texts, prompts, strict=True)]
    together = speaker.say_about(texts, prompts, **manner)
    assert [ids_of(mine) for mine in together] == [ids_of(mine) for mine in alone]
    torch.testing.assert_close(nats_of(together), nats_of(alone), atol=2e-3, rtol=1e-3)
    for name, value in (("TEXTS", 3), ("ROWS", 8)):
        monkeypatch.setattr(voice_file, name, value)
        likeliest = speaker.say_about(texts, prompts)
        assert [ids_of(mine) for mine in likeliest] == [ids_of(speaker.say_about([t], [p])[0]) for t, p in zip(texts, prompts, strict=True)]


def test_nobody_waits_for_the_last_ones(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen speak, the first for two tokens, the next for three: when two are left, they are cut off."""
    speaker = make_speaker(llama)

    def lengths() -> list[int]:
        numbers: dict[int, int] = {}
        prompts = [speaker.ids(f"Who {n}?") for n in range(16)]
        manner = Manner(lambda ids: len(ids) >= numbers.setdefault(id(ids), len(numbers)) + 2, MOST)
        (said,) = speaker.voice.say([speaker.ids("Orrin")], [prompts], manner)
        return [len(one.ids) for one in said]

    assert lengths() == [*range(2, 16), 15, 15]
    monkeypatch.setattr(voice_file, "PATIENCE", 17)
    assert lengths() == [*range(2, 18)]


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


def test_what_is_debited_is_what_was_computed(base: Base) -> None:
    """Attention aside, to the token, each prompt read once; and that costs something, too."""
    cost = replace(CostModel.of(base.model), attention_width=0)
    speaker = make_speaker(base, cost).stopping()
    with counted(base.model) as found:
        said = speaker.say(times=2, temperature=1.0, seed=0)
    read = len(speaker.ids(tiny.STORY)) + sum(len(speaker.ids(prompt)) for prompt in PROMPTS)
    assert found["tokens"] == read + sum(len(one.ids) - 1 for one in said)
    flops = 2 * (cost.layer_weights * cost.num_layers + speaker.voice.sites.reader_weights) * found["tokens"]
    flops += 2 * cost.head_weights * found["head"]
    assert speaker.voice.ledger.fet == {"dreams": pytest.approx(flops / cost.flops_per_fet)}
    assert speaker.voice.ledger.seconds["dreams"] > 0
    attending = make_speaker(base)
    replace(attending, stop=speaker.stop).say(times=2, temperature=1.0, seed=0)
    assert attending.voice.ledger.fet["dreams"] > speaker.voice.ledger.fet["dreams"]


def test_a_ledger_that_cannot_pay_is_told(llama: Base) -> None:
    speaker = make_speaker(llama)
    speaker.voice.ledger.limit_fet = 100.0
    with pytest.raises(BudgetError, match=r"budget: dreams needs [\d,]+ FET"):
        speaker.say()
    assert not any(module._forward_hooks for module in llama.model.modules())
