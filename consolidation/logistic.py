"""Logistic regression: the probability of being right from what was measured, fitted to what was right and what was not.

    P(right | x) = sigmoid(intercept + weights . x)

Convex and small, so damped Newton steps reach the optimum. Knows nothing about what x is.
"""

from typing import Any

import numpy as np

NEAREST = 1e-4
"""A probability counts as no nearer to 0 or 1 than this: the logit of either is infinite."""
STEPS, GAINED, SMALLEST_STEP = 100, 1e-10, 1e-10


def sigmoid(z: Any) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(np.asarray(z) / 2)))  # does not overflow


def logit(p: Any) -> np.ndarray:
    """ln(p / (1 - p)), of a p that is kept away from 0 and 1."""
    inside = np.clip(p, NEAREST, 1 - NEAREST)
    return np.asarray(np.log(inside / (1 - inside)))


def fit_logistic(design: np.ndarray, right: np.ndarray, l2: float = 0.0) -> tuple[float, np.ndarray]:
    """Intercept and weights of least cross-entropy plus `l2 / 2` times the squared weights, by Newton steps, each halved until it helps.

    design: (question, feature), standardised; right: (question,), 0 or 1. Targets are moved a little inside, as Platt's (1999), so that
    there is an optimum where all are right, or all wrong, or told apart without error.
    """
    count = float(right.sum())
    target = np.where(right > 0.5, (count + 1) / (count + 2), 1 / (len(right) - count + 2))
    x = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    penalty = np.array([0.0, *[l2] * design.shape[1]])

    def loss(w: np.ndarray) -> float:
        z = x @ w
        return float(np.sum(np.logaddexp(0, z) - target * z) + 0.5 * np.sum(penalty * w * w))

    at = np.zeros(x.shape[1])
    now = loss(at)
    for _ in range(STEPS):
        fitted = sigmoid(x @ at)
        gradient = x.T @ (fitted - target) + penalty * at
        step = np.linalg.solve(x.T @ (x * (fitted * (1 - fitted))[:, None]) + np.diag(penalty), gradient)
        while (new := loss(at - step)) > now and np.abs(step).max() > SMALLEST_STEP:
            step = step / 2
        at, gained, now = at - step, now - new, new
        if gained < GAINED:
            break
    return float(at[0]), at[1:]
