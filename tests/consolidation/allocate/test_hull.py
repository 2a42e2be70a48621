"""Levels on concave hulls, beside the exact optimum."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from nrem.consolidation.allocate.hull import even_levels, hull_bound, hull_levels

LEVELS = tuple(range(9))


def concave(rng: np.random.Generator) -> np.ndarray:
    """Geometric returns."""
    return rng.uniform(0.1, 3) * (1 - rng.uniform(0.2, 0.9) ** np.arange(len(LEVELS)))


def s_shaped(rng: np.random.Generator) -> np.ndarray:
    """Nothing, until enough passes came together."""
    steps = 1 / (1 + np.exp(-2 * (np.arange(len(LEVELS)) - rng.choice([0, 1, 2, 4, 6]))))
    return rng.uniform(0.1, 3) * (steps - steps[0])


def best_gain(gains: Sequence[Sequence[float]], costs: Sequence[float], budget: float) -> float:
    """The exact optimum: one level for every unit, within the budget."""
    units, levels = len(costs), len(LEVELS)
    fet = np.outer(costs, LEVELS).ravel()
    one_each = np.kron(np.eye(units), np.ones(levels))
    limits = [LinearConstraint(one_each, 1, 1), LinearConstraint(fet[None], 0, budget)]
    found = milp(-np.ravel(gains), constraints=limits, integrality=np.ones(units * levels), bounds=Bounds(0, 1))
    return float(-found.fun)


@pytest.mark.parametrize(
    ("shape", "unequal", "gap"), [(concave, False, 1e-9), (concave, True, 0.005), (s_shaped, False, 0.03), (s_shaped, True, 0.03)]
)
def test_hull_levels_are_close_to_the_exact_optimum(shape: Callable[..., np.ndarray], unequal: bool, gap: float) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        gains = [shape(rng).tolist() for _ in range(40)]
        costs = rng.uniform(0.5, 2, 40).tolist() if unequal else [1.0] * 40
        budget = 2.0 * sum(costs)
        levels = hull_levels(LEVELS, gains, costs, budget)
        gained = sum(row[level] for row, level in zip(gains, levels, strict=True))
        exact = best_gain(gains, costs, budget)
        assert sum(level * cost for level, cost in zip(levels, costs, strict=True)) <= budget + 1e-9
        assert exact * (1 - gap) <= gained <= exact + 1e-6
        assert sum(hull_bound(LEVELS, gains, costs, budget)) >= exact - 1e-6
        even = even_levels(costs, budget, 8)
        assert sum(row[level] for row, level in zip(gains, even, strict=True)) < gained


def test_a_curve_that_falls_is_left_alone() -> None:
    assert hull_levels((0, 1, 2), [[0, -1, -2], [0, -1, 1], [0, 1, 0.5]], [1, 1, 1], 100) == [0, 2, 1]
