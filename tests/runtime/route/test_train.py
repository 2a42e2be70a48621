"""What training may see and what it does: a kill changes nothing, the reward decides, and the hops are never looked at."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nrem.runtime.route import warm_up as warm
from nrem.runtime.route.config import RouterConfig
from nrem.runtime.route.descent import Phase, descend
from nrem.runtime.route.measure import Outcomes, mean_reports, report
from nrem.runtime.route.network import make_model, think_probs
from nrem.runtime.route.train import degrpo_step
from nrem.runtime.route.world import Questions, World

CONFIG = RouterConfig(values=3, moves=1, slots=2, hidden=16, heads=2, warm_up_steps=12, warm_up_batch=8, steps=4, questions=4, group=4)
PRICES = (0.1, 1.9)
WORLD = World.make(3, 1, 2, 2)


def phase(folder: Path, steps: int, seconds: float = 60.0) -> Phase:
    return Phase(name="x", folder=folder, steps=steps, seconds=seconds, step_size=1e-2, decay=True)


def silent(*_: object) -> None:
    pass


def weights(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


class Killed(Exception):
    pass


@pytest.mark.parametrize("kind", ["warm-up", "DeGRPO"])
def test_a_killed_run_ends_with_the_same_weights(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nrem.runtime.route.descent.CHECKPOINT_SECONDS", 0.0)

    def make_step(model: Any, stop: int = -1) -> Any:
        inner = degrpo_step(model, CONFIG, WORLD, PRICES, (0, 1)) if kind == "DeGRPO" else warm.warm_up_step(model, CONFIG, WORLD)

        def step(number: int, optimiser: torch.optim.Optimizer) -> Any:
            if number == stop:
                raise Killed
            return inner(number, optimiser)

        return step

    whole = descend(phase(tmp_path / "whole", 6), make_model(CONFIG, WORLD), make_step, silent)
    with pytest.raises(Killed):
        descend(phase(tmp_path / "cut", 6), make_model(CONFIG, WORLD), lambda m: make_step(m, 3), silent)
    asked: list[int] = []

    def noting(model: Any) -> Any:
        inner = make_step(model)

        def step(number: int, optimiser: torch.optim.Optimizer) -> Any:
            asked.append(number)
            return inner(number, optimiser)

        return step

    again = descend(phase(tmp_path / "cut", 6), make_model(CONFIG, WORLD), noting, silent)
    assert asked == [3, 4, 5]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole.model), weights(again.model), strict=True))
    assert not (tmp_path / "cut.training").exists()
    read = descend(phase(tmp_path / "cut", 6), make_model(CONFIG, WORLD), noting, silent)
    assert (read.steps, asked) == (6, [3, 4, 5]), "a finished run is read, not trained again"
    assert all(torch.equal(a, b) for a, b in zip(weights(read.model), weights(again.model), strict=True))


def test_minutes_are_kept_and_what_was_cut_off_says_so(tmp_path: Path) -> None:
    seconds = iter(range(100))
    done = descend(
        phase(tmp_path / "m", 50, seconds=3.0),
        make_model(CONFIG, WORLD),
        lambda m: warm.warm_up_step(m, CONFIG, WORLD),
        silent,
        clock=lambda: float(next(seconds)),
    )
    assert (done.steps, done.seconds) == (3, 3.0)


def test_training_never_looks_at_the_number_of_hops(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    for spoil in (False, True):
        model = make_model(CONFIG, WORLD)
        draw = World.draw

        def drawn(self: World, *arguments: Any, draw: Any = draw, spoil: bool = spoil) -> Questions:
            found: Questions = draw(self, *arguments)
            return replace(found, hops=torch.full_like(found.hops, -1)) if spoil else found

        monkeypatch.setattr(World, "draw", drawn)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for make in (lambda m: warm.warm_up_step(m, CONFIG, WORLD), lambda m: degrpo_step(m, CONFIG, WORLD, PRICES, (0, 1))):
            for number in range(2):
                make(model)(number, optimiser)
        trained.append(weights(model))
        monkeypatch.setattr(World, "draw", draw)
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))


@pytest.mark.parametrize("decoupled", [True, False])
def test_what_never_pays_is_unlearned(decoupled: bool) -> None:
    """A model that has learned nothing is right by chance either way, so that thinking at 1.9 of a reward only costs."""
    config = replace(CONFIG, questions=16, group=8, decoupled=decoupled, reference_weight=0.0)
    model = make_model(config, WORLD)
    questions = WORLD.draw(32, torch.Generator().manual_seed(9))
    prompts = WORLD.prompts(questions, torch.ones_like(questions.start))
    before = think_probs(model, WORLD, prompts).mean()
    step = degrpo_step(model, config, WORLD, PRICES, (1,), copy.deepcopy(model))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for number in range(15):
        figures = step(number, optimiser)
        assert set(figures) == {"mean reward", "thinks"}
    assert think_probs(model, WORLD, prompts).mean() < before - 0.1


def outcomes(think_prob: list[float], price: float = 0.5) -> Outcomes:
    return Outcomes(price, [1, 1, 2, 2], think_prob, [True, True, False, True], [True, True, True, False])


def test_arms_are_scored_on_the_same_answers() -> None:
    found = report(outcomes([0.1, 0.2, 0.9, 0.3]))
    assert [row["think_rate"] for row in found["by_hops"]] == [0.0, 0.5]
    assert [row["short_right"] for row in found["by_hops"]] == [1.0, 0.5]
    arms = found["arms"]
    assert arms["router"] == {"think_rate": 0.25, "accuracy": 1.0, "reward": (1 + 1 + 0.5 + 1) / 4}
    assert arms["always think"]["reward"] == (0.5 + 0.5 + 0.5 - 1) / 4
    assert arms["never think"]["reward"] == (1 + 1 - 1 + 1) / 4
    assert arms["random mixture"]["reward"] == pytest.approx(0.25 * 0.125 + 0.75 * 0.5)
    assert arms["random mixture"]["think_rate"] == arms["router"]["think_rate"]
    assert found["reward_over_mixture"]["mean"] == pytest.approx(0.875 - arms["random mixture"]["reward"])
    assert not found["collapsed"]
    assert not report(outcomes([0.1] * 4))["collapsed"], "never to think is best here, also for one who is told the hops"
    split = Outcomes(0.1, [1, 2], [0.9, 0.9], [True, False], [True, True])
    assert report(split)["collapsed"]


def test_seeds_are_folded_one_by_one() -> None:
    first, second = report(outcomes([0.1, 0.2, 0.9, 0.3])), report(outcomes([0.9] * 4)) | {"collapsed": True}
    mean = mean_reports([first, second])
    assert mean["arms"]["router"]["reward"] == pytest.approx((0.875 + 0.125) / 2)
    assert [row["think_rate"] for row in mean["by_hops"]] == [0.5, 0.75]
    assert mean["collapsed"] == 1
    assert mean_reports([first, second], min)["arms"]["router"]["accuracy"] == 0.75
