"""What a trained router does, at every price: how often it thinks by number of hops, and what that is worth beside thinking always, never,
and as often by lot.

Every question is answered in both ways, so that all arms are scored on the same answers. Only here are the hops looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from transformers import LlamaForCausalLM

from nrem.consolidation.resample import QuestionResampler
from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.network import answers, think_probs
from nrem.runtime.route.warm_up import generator_of
from nrem.runtime.route.world import World

MEASURE = 3
"""Stream of random numbers: questions that no training step has drawn in this order."""
ARMS = ("router", "always think", "never think", "random mixture", "told the hops")


@dataclass(frozen=True)
class Outcomes:
    """Both answers to every question at one price, and how likely the model thinks."""

    price: float
    hops: list[int]
    think_prob: list[float]
    short_right: list[bool]
    think_right: list[bool]

    def to_dict(self) -> dict[str, Any]:
        """Kept in strings, one character or word a question."""
        bits = {key: "".join(str(int(b)) for b in getattr(self, key)) for key in ("short_right", "think_right")}
        probs = " ".join(str(round(1000 * p)) for p in self.think_prob)
        return {"price": self.price, "hops": " ".join(map(str, self.hops)), "think_per_mille": probs} | bits


def measure(model: LlamaForCausalLM, config: RouterConfig, world: World, prices: Sequence[float], levels: Sequence[int]) -> list[Outcomes]:
    """Outcomes at each of these levels, on the same questions: as many of every number of hops."""
    generator = generator_of(config.seed, MEASURE, 0)
    parts = [world.draw(config.measured, generator, hops) for hops in range(1, world.num_slots + 1)]
    found = []
    for level in levels:
        hops, probs, right = list[int](), list[float](), {False: list[bool](), True: list[bool]()}
        for part in parts:
            prompts = world.prompts(part, torch.full_like(part.start, level))
            hops += part.hops.tolist()
            probs += think_probs(model, world, prompts).tolist()
            for think, column in right.items():
                column += (answers(model, world, prompts, think=think) == part.answer).tolist()
        found.append(Outcomes(prices[level], hops, probs, short_right=right[False], think_right=right[True]))
    return found


def report(outcomes: Outcomes) -> dict[str, Any]:
    """Figures at one price: by number of hops, of each arm, and what the router gains over the mixture."""
    hops, price = outcomes.hops, outcomes.price
    thinks = [float(p > 0.5) for p in outcomes.think_prob]
    reward_think = [1 - price if right else -1.0 for right in outcomes.think_right]
    reward_short = [1.0 if right else -1.0 for right in outcomes.short_right]
    rate = fmean(thinks)
    better = {n: mean_at(reward_think, hops, n) > mean_at(reward_short, hops, n) for n in set(hops)}
    choices = {
        "router": thinks,
        "always think": [1.0] * len(hops),
        "never think": [0.0] * len(hops),
        "random mixture": [rate] * len(hops),
        "told the hops": [float(better[n]) for n in hops],
    }
    rewards = {name: mixed(share, reward_think, reward_short) for name, share in choices.items()}
    right = {name: mixed(share, outcomes.think_right, outcomes.short_right) for name, share in choices.items()}
    drawn = QuestionResampler(len(hops))
    return {
        "price": price,
        "threshold": 1 - price / 2,
        "by_hops": [
            {
                "hops": n,
                "think_rate": mean_at(thinks, hops, n),
                "think_prob": mean_at(outcomes.think_prob, hops, n),
                "short_right": mean_at(outcomes.short_right, hops, n),
                "think_right": mean_at(outcomes.think_right, hops, n),
            }
            for n in sorted(set(hops))
        ],
        "arms": {
            name: {"think_rate": fmean(choices[name]), "accuracy": fmean(right[name]), "reward": fmean(rewards[name])} for name in ARMS
        },
        "reward_over_mixture": drawn.difference(rewards["router"], rewards["random mixture"]).to_dict(),
        "accuracy_over_mixture": drawn.difference(right["router"], right["random mixture"]).to_dict(),
        "collapsed": one_sided(rate) and not one_sided(fmean(choices["told the hops"])),
    }


def one_sided(rate: float) -> bool:
    """Whether more than 95 % of the questions are decided in one way; a collapse where it would not be best so."""
    return not 0.05 <= rate <= 0.95


def mixed(share: Sequence[float], think: Sequence[float], short: Sequence[float]) -> list[float]:
    """The expected value of each question where so large a share of its answers are by thinking."""
    return [s * t + (1 - s) * n for s, t, n in zip(share, think, short, strict=True)]


def mean_at(values: Sequence[float], hops: Sequence[int], number: int) -> float:
    """The mean over the questions with so many hops."""
    return fmean(value for value, n in zip(values, hops, strict=True) if n == number)


def mean_reports(reports: Sequence[dict[str, Any]], fold: Callable[[list[float]], float] = fmean) -> dict[str, Any]:
    """The same figures over several seeds at one price, each folded into one, by default into its mean."""
    first = reports[0]

    def over(*path: str | int) -> float:
        values = []
        for found in reports:
            node: Any = found
            for key in path:
                node = node[key]
            values.append(float(node))
        return fold(values)

    return {
        "price": first["price"],
        "threshold": first["threshold"],
        "by_hops": [{key: over("by_hops", i, key) for key in row} for i, row in enumerate(first["by_hops"])],
        "arms": {name: {key: over("arms", name, key) for key in arm} for name, arm in first["arms"].items()},
        "reward_over_mixture": over("reward_over_mixture", "mean"),
        "accuracy_over_mixture": over("accuracy_over_mixture", "mean"),
        "collapsed": sum(found["collapsed"] for found in reports),
    }
