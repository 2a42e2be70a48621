"""No silent setting: what a rule says it goes by is what changes its memories, and a key without effect is told with what decides."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.budget import Ledger
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.rules import RULES
from nrem.runtime.config import Config, config_from_dict, load_config, presets, to_dict, to_toml
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_dreamer
from nrem.runtime.readers.text import Document
from nrem.runtime.session import session as session_file
from nrem.runtime.session.session import Session
from nrem.runtime.without_effect import SWITCHES, without_effect, without_effect_on_answers
from tests import tiny
from tests.dreaming import make_asker, understand

OTHER: dict[str, str] = {
    "sleep.replay": "0.0",
    "fast_weights.rank": "3",
    "fast_weights.target": "up_proj",
    "fast_weights.layers": "all",
    "fast_weights.question_chunks": "1",
    "probes.facts_per_chunk": "2",
    "probes.keyword_variants": "1",
    "study.objective": "next-token",
    "study.label_smoothing": "0.3",
    "study.step_size": "1e-2",
    "study.warm_up": "2",
    "study.normalise": "global",
    "study.beta1": "0.5",
    "study.beta2": "0.5",
    "study.distill_weight": "0.9",
    "study.distill_top": "2",
    "study.items_per_write": "2",
    "study.batch_tokens": "512",
    "dreams.per_sentence": "2",
    "dreams.temperature": "3.0",
    "dreams.most_doubt": "0.0",
}
"""Every key that rules may go by, at another value than that of `CONFIG`."""
NEEDED = {
    "study.beta1": "study.normalise=elementwise",
    "study.beta2": "study.normalise=elementwise",
    "dreams.temperature": "dreams.per_sentence=2",
    "dreams.most_doubt": "dreams.per_sentence=1",
}
"""What some of them need another key to be."""
ONLY_HOW = {"study.batch_tokens"}
"""What changes how a pass computes, and nothing of what it writes."""
CONFIG = (
    "sleep.passes=4",
    "sleep.allocator=uniform",
    "guard.enabled=false",
    "study.distill_weight=0.4",
    "sleep.replay=1.0",
    "dreams.per_sentence=0",
    "dreams.most_doubt=1000",
)
KNOWN: dict[tuple[str, ...], dict[str, torch.Tensor]] = {}
"""What was measured already, by rule and settings."""
TEXTS = (tiny.STORY[:300], tiny.STORY[300:])


def make_protocol(base: Base, rule: str) -> Protocol:
    """With an asker, whatever the rule."""
    if rule == "study":
        return Protocol(base.tokenizer)
    protocol = tiny.make_protocol(base, rule, rank=34 if rule == "ridge" else 6)
    return replace(protocol, asker=make_asker(protocol))


def remembered(base: Base, protocol: Protocol, monkeypatch: pytest.MonkeyPatch, *settings: str) -> dict[str, torch.Tensor]:
    """What two sleeps in one adapter leave: every tensor, what the probes said, and what a question is answered from."""
    if (protocol.rule, *settings) in KNOWN:
        return KNOWN[protocol.rule, *settings]
    monkeypatch.setattr(session_file, "make_protocol", lambda *_: protocol)
    understand(monkeypatch)
    session = Session(base=base, config=tiny.make_config(*CONFIG, *settings))
    session.stream(Document.from_text(TEXTS[0], "d", "Orrin"), finish=False)
    session._evict(session.window.flush())
    session.sleep()
    memory = session.read(Document.from_text(TEXTS[1], "d", "Orrin"))
    tensors = {f"{i} {key}": t for i, s in enumerate(memory.segments) for key, t in s.weights.tensors().items()}
    nll = [value for c in memory.record.chunks for value in c.nll]
    KNOWN[protocol.rule, *settings] = tensors | {"nll": torch.tensor(nll), "asks": torch.tensor(memory.record.question_chunks)}
    return KNOWN[protocol.rule, *settings]


def same(a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[key].shape == b[key].shape and torch.equal(a[key], b[key]) for key in a)


def test_every_key_of_a_rule_is_tried() -> None:
    assert OTHER.keys() == frozenset[str]().union(*(row.uses for row in RULES.values()))


@pytest.mark.parametrize("rule", list(RULES))
def test_what_a_rule_does_not_go_by_changes_nothing(llama: Base, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = make_protocol(llama, rule)
    others = [f"{key}={value}" for key, value in OTHER.items() if key not in RULES[rule].uses]
    before = remembered(llama, protocol, monkeypatch)
    assert same(before, remembered(llama, protocol, monkeypatch, *others))
    assert any(t.abs().sum() > 0 for key, t in before.items() if "lora_B" in key)


@pytest.mark.parametrize(("rule", "key"), [(r, k) for r, row in RULES.items() for k in sorted(row.uses - ONLY_HOW)])
def test_what_a_rule_goes_by_changes_what_it_leaves(llama: Base, rule: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = make_protocol(llama, rule)
    more = (needed,) if (needed := NEEDED.get(key)) else ()
    assert not same(remembered(llama, protocol, monkeypatch, *more), remembered(llama, protocol, monkeypatch, *more, f"{key}={OTHER[key]}"))


def told(config: Config, protocol: Protocol) -> str:
    return "\n".join(without_effect(config, protocol))


def test_a_key_without_effect_is_told_with_what_decides(llama: Base) -> None:
    ridge, untrained = tiny.make_ridge_protocol(llama), Protocol(llama.tokenizer)
    config = load_config("fast", ["study.warm_up=2", "fast_weights.rank=8"])
    assert told(config, ridge) == (
        "study.warm_up (--set) and fast_weights.rank (--set) have no effect: the protocol tiny writes with the ridge rule and decides by "
        "what it has learned; only the study rule goes by that (--set protocol.name=untrained)"
    )
    assert told(config, untrained) == ""
    assert told(load_config(None, ["fast_weights.question_chunks=2"]), untrained) == (
        "fast_weights.question_chunks (--set) has no effect: the protocol untrained writes with the study rule and has learned nothing; "
        "only the keyed rule goes by that"
    )


def test_a_rule_that_names_no_key_still_has_fast_weights_as_configured(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    class Toy(RULES["study"].rule):  # type: ignore[misc]
        uses = frozenset[str]()

    monkeypatch.setitem(RULES, "toy", RULES["study"]._replace(rule=Toy))
    config = load_config(None, ["seed=3", "fast_weights.rank=8", "study.warm_up=2"])
    (sentence,) = without_effect(config, replace(Protocol(llama.tokenizer), rule="toy"))
    assert sentence.startswith("study.warm_up (--set) has no effect: ")


def test_what_an_allocator_does_not_go_by_is_told(llama: Base) -> None:
    curve = Curve(document="d", chunk=0, nll=(4.0, 2.0, 1.5), recall=(0.0, 0.5, 0.5), pass_fet=10.0, num_probes=2)
    bare = tiny.make_ridge_protocol(llama)
    measured = replace(bare, curves=CurveTable(levels=(0, 1, 2), curves=(curve, curve)))
    even = {"--passes": {"sleep": {"passes": 1, "allocator": "uniform"}}}
    config = load_config(None, ["sleep.patience=2", "sleep.mean_passes=1.5"], even)
    assert (
        told(config, bare) == "sleep.patience (--set) and sleep.mean_passes (--set) have no effect: sleep.allocator is uniform (--passes)"
    )
    chosen = load_config(None, ["sleep.patience=2", "sleep.mean_passes=1.5"])
    assert told(chosen, bare) == (
        "sleep.patience (--set) and sleep.mean_passes (--set) have no effect: sleep.allocator is elimination and has neither looks between "
        "passes nor measured curves"
    )
    looking = load_config(None, ["sleep.patience=2", "sleep.mean_passes=1.5", "sleep.look_every=1"])
    assert (
        told(looking, bare) == "sleep.mean_passes (--set) has no effect: sleep.allocator is elimination and decides by looks between passes"
    )
    assert told(chosen, measured) == (
        "sleep.patience (--set) has no effect: sleep.allocator is elimination and predicts what passes give from measured curves"
    )


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: min(switch.keys))
def test_what_another_key_turns_off_is_told(llama: Base, switch: Any) -> None:
    on: tuple[str, ...] = (
        "guard.enabled=true",
        "study.distill_weight=0.5",
        "study.normalise=elementwise",
        "answer.sleep_again=1",
        "study.objective=study",
    )
    off: tuple[str, ...] = ("guard.enabled=false", "study.distill_weight=0", "study.normalise=global", "study.objective=next-token")
    values = {"answer.again_chunks": "2", "guard.max_kl": "2.0", "guard.min_recall_gain": "0.1"} | OTHER
    keys = [f"{key}={values.get(key, '3')}" for key in sorted(switch.keys)]
    dreams = any(key.startswith("dreams.") for key in keys)
    on, off = (("dreams.per_sentence=2",), ("dreams.per_sentence=0",)) if dreams else (on, off)
    protocol = make_protocol(llama, "ridge" if dreams else "study")
    assert without_effect(load_config(None, [*on, *keys]), protocol) == []
    (sentence,) = without_effect(load_config(None, [*off, *keys]), protocol)
    assert sentence.endswith(f"no effect: {switch.reason}")
    assert all(f"{key} (--set)" in sentence for key in switch.keys)


@pytest.mark.parametrize(
    ("settings", "has_asker", "reason"),
    [
        ((), True, ""),
        (("sleep.passes=auto",), True, ""),
        ((), False, "the protocol tiny has no asker (nrem train-asker trains one), so that nothing is dreamt"),
        (("sleep.budget_fet=1000",), True, "under a budget nothing is dreamt"),
        (("sleep.budget_seconds=9",), True, "under a budget nothing is dreamt"),
        (("sleep.passes=0",), True, "sleep.passes is 0, and nothing is dreamt that no pass would read"),
    ],
    ids=str,
)
def test_where_nothing_is_dreamt_it_is_told(llama: Base, settings: tuple[str, ...], has_asker: bool, reason: str) -> None:
    """Once, and nothing is told where something is."""
    protocol = make_protocol(llama, "ridge") if has_asker else tiny.make_ridge_protocol(llama)
    config = load_config(None, ["dreams.per_sentence=2", "dreams.temperature=0.5", "dreams.most_doubt=1", *settings])
    keys = "dreams.per_sentence (--set), dreams.temperature (--set) and dreams.most_doubt (--set)"
    assert [s for s in without_effect(config, protocol) if "dreams." in s] == ([f"{keys} have no effect: {reason}"] if reason else [])
    parts = make_dreamer(llama, config, protocol, Ledger(config.sleep.budget_fet or None, config.sleep.budget_seconds or None))
    assert (parts is None) == bool(reason), "what is told is what is done"


def test_a_question_is_slept_on_with_the_dreams_that_are_kept(llama: Base) -> None:
    ridge = make_protocol(llama, "ridge")
    again = config_from_dict(to_dict(Config()), ["answer.way=again", "dreams.per_sentence=3"])
    assert without_effect_on_answers(again, ridge) == [
        "dreams.per_sentence (--set) has no effect: a memory that is only asked keeps what it was made with; sleep again to change it"
    ]


def test_what_was_saved_or_repeats_a_default_is_not_told(llama: Base, tmp_path: Path) -> None:
    ridge, path = tiny.make_ridge_protocol(llama), tmp_path / "all.toml"
    config = load_config(None, ["study.warm_up=2"])
    assert told(config_from_dict(to_dict(config)), ridge) == ""
    path.write_text(to_toml(Config()), encoding="utf-8")
    assert told(load_config(path), ridge) == ""
    path.write_text("[study]\nwarm_up = 2\nbeta1 = 0.9\n", encoding="utf-8")
    assert told(load_config(path), ridge).startswith(f"study.warm_up (--config {path}) has no effect: ")


@pytest.mark.parametrize("name", presets())
def test_every_key_of_a_preset_has_an_effect_with_a_trained_protocol(llama: Base, name: str) -> None:
    config = load_config(name)
    assert (len(config.given) == 0) == (name == "default")
    assert without_effect(config, tiny.make_ridge_protocol(llama)) == []


def test_a_memory_that_is_only_asked_says_what_comes_too_late(llama: Base) -> None:
    saved, ridge = to_dict(Config()), tiny.make_ridge_protocol(llama)
    asked = config_from_dict(
        saved, ["stream.chunk_tokens=64", "answer.way=direct", "answer.again_chunks=2"], {"--model": {"model": {"name": "m"}}}
    )
    assert without_effect_on_answers(asked, ridge) == [
        "stream.chunk_tokens (--set) has no effect: a memory that is only asked keeps what it was made with; sleep again to change it",
        "answer.again_chunks (--set) has no effect: answer.way is not again, so that no question is slept on again",
    ]
    again = config_from_dict(saved, ["study.warm_up=2", "answer.way=again", "answer.again_chunks=2"])
    assert without_effect_on_answers(again, Protocol(llama.tokenizer)) == []


def test_a_sleep_tells_it_on_stderr(shell: Any) -> None:
    done = shell("sleep", "story.md", "--config", "tiny.toml", "-o", "m", "--passes", "1", "--set", "sleep.patience=3")
    assert done.code == 0
    assert "sleep.patience (--set) has no effect: sleep.allocator is uniform (--" in done.err
    assert "no effect" not in done.out
