"""Settings without effect: keys that somebody set, and that a sleep with the protocol at hand does not go by, told with what decides.

They are told, never refused: one file serves several models, whose protocols go by different keys, and the sleep is none the worse for it.
What was saved with a memory, and what a file only repeats from the defaults, is not told. Knows nothing about terminals.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nrem.consolidation.allocate.allocator import CHOSEN_BY
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.rule import DREAMS
from nrem.consolidation.write.rules import RULES
from nrem.runtime.config import Config
from nrem.runtime.parts import measured_curves, resolved_sleep
from nrem.runtime.wake.ways import AUTO, ROUTER, parse_way


class Switch(NamedTuple):
    """Keys that another key turns off."""

    keys: frozenset[str]
    off: Callable[[Config], bool]
    reason: str


def _sleeps_again(config: Config) -> bool:
    """Whether a question that is answered may get passes of its own."""
    c = config.answer
    if c.way == ROUTER:  # it may buy such a way
        return True
    return c.sleep_again > 0 if c.way == AUTO else parse_way(c.way).passes_again > 0


AGAIN = Switch(
    frozenset({"answer.again_chunks"}),
    lambda c: not _sleeps_again(c),
    "answer.way is not again, so that no question is slept on again",
)
SWITCHES = (
    Switch(
        frozenset({"dreams.most_doubt"}),
        lambda c: c.dreams.per_sentence == 0,
        "dreams.per_sentence is 0, so that nothing is dreamt",
    ),
    Switch(
        frozenset({"dreams.temperature"}),
        lambda c: c.dreams.per_sentence <= 1,
        "dreams.per_sentence is 1 or 0, and the first question about a sentence is the likeliest",
    ),
    AGAIN,
    Switch(
        frozenset({"guard.max_kl", "guard.max_perplexity_ratio", "guard.min_recall_gain"}),
        lambda c: not c.guard.enabled,
        "guard.enabled is false, so that every sleep is kept",
    ),
    Switch(
        frozenset({"study.distill_top"}),
        lambda c: c.study.distill_weight == 0,
        "study.distill_weight is 0, which leaves the teacher out",
    ),
    Switch(
        frozenset({"study.beta1", "study.beta2"}),
        lambda c: c.study.normalise == "global",
        'study.normalise is "global", which keeps no running means',
    ),
    Switch(
        frozenset({"probes.facts_per_chunk", "probes.keyword_variants"}),
        lambda c: c.study.objective == "next-token",
        'study.objective is "next-token", which reads the text and asks nothing',
    ),
)
ANSWERING = ("model.", "protocol.", "answer.", "seed")
"""What a memory goes by that is only asked; the seed draws votes."""


def without_effect(config: Config, protocol: Protocol) -> list[str]:
    """One sentence for every reason why keys of `config.given` change nothing in a sleep with this protocol."""
    told = set[str]() if config.dreams.per_sentence else {"dreams.per_sentence"}  # who wants none gets none
    sentences = []
    for keys, reason in _reasons(config, protocol):
        if found := [key for key in config.given if key in keys and key not in told]:
            told |= {*found}
            sentences.append(_sentence(config, found, reason))
    return sentences


def without_effect_on_answers(config: Config, protocol: Protocol) -> list[str]:
    """The same for a saved memory that is only asked: what made it does not change any more, unless it sleeps on a question again."""
    again = RULES[protocol.rule].uses - DREAMS if _sleeps_again(config) else frozenset[str]()  # it reads the dreams that are kept
    made = [key for key in config.given if not key.startswith(ANSWERING) and key not in again]
    reason = "a memory that is only asked keeps what it was made with; sleep again to change it"
    off = [key for key in config.given if key in AGAIN.keys and AGAIN.off(config)]
    return [_sentence(config, found, why) for found, why in ((made, reason), (off, AGAIN.reason)) if found]


def _reasons(config: Config, protocol: Protocol) -> Iterator[tuple[frozenset[str], str]]:
    """Keys that do nothing, and why."""
    by_rules: dict[tuple[str, ...], set[str]] = {}
    for key in frozenset[str]().union(*(row.uses for row in RULES.values())) - RULES[protocol.rule].uses:
        by_rules.setdefault(tuple(name for name, row in RULES.items() if key in row.uses), set()).add(key)
    for names, keys in by_rules.items():
        yield frozenset(keys), _reason_of_rule(names, protocol)
    sleep, curves = resolved_sleep(config, protocol), measured_curves(config, protocol)
    if protocol.asker is None and RULES[protocol.rule].uses >= DREAMS:
        yield DREAMS, f"the protocol {protocol.id} has no asker (nrem train-asker trains one), so that nothing is dreamt"
    elif config.sleep.budget_fet or config.sleep.budget_seconds:
        yield DREAMS, "under a budget nothing is dreamt"
    elif not sleep.passes:
        yield DREAMS, "sleep.passes is 0, and nothing is dreamt that no pass would read"
    idle = CHOSEN_BY - sleep.chosen_by(curves)
    decides = f"sleep.allocator is {sleep.allocator}{_where(config, 'sleep.allocator')}"
    if idle != CHOSEN_BY:
        with_curves = "predicts what passes give from measured curves" if curves else "has neither looks between passes nor measured curves"
        decides += " and decides by looks between passes" if sleep.looks_between else f" and {with_curves}"
    yield frozenset(f"sleep.{key}" for key in idle), decides
    yield from ((switch.keys, switch.reason) for switch in SWITCHES if switch.off(config))


def _reason_of_rule(names: Sequence[str], protocol: Protocol) -> str:
    decides = "decides by what it has learned" if protocol.learned is not None else "has learned nothing"
    hint = " (--set protocol.name=untrained)" if "study" in names else ""
    goes = f"the {_listed(names)} rule goes" if len(names) == 1 else f"the rules {_listed(names)} go"
    return f"the protocol {protocol.id} writes with the {protocol.rule} rule and {decides}; only {goes} by that{hint}"


def _sentence(config: Config, keys: Sequence[str], reason: str) -> str:
    named = _listed([f"{key} ({_shown(config.given[key])})" for key in keys])
    return f"{named} {'has' if len(keys) == 1 else 'have'} no effect: {reason}"


def _where(config: Config, key: str) -> str:
    return f" ({_shown(config.given[key])})" if key in config.given else ""


def _shown(where: str) -> str:
    """`--set` alone, since the key stands beside it."""
    return "--set" if where.startswith("--set ") else where


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
