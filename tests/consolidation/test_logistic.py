"""Logistic regression: the fit is the optimum, and finite where answers are all alike."""

import math

import numpy as np
import pytest

from nrem.consolidation.logistic import fit_logistic, logit, sigmoid


def test_a_fit_is_the_optimum_of_its_loss() -> None:
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(60, 3)), (rng.random(60) < 0.4).astype(float)
    intercept, weights = fit_logistic(x, target, l2=0.5)
    inside = np.where(target > 0.5, (target.sum() + 1) / (target.sum() + 2), 1 / (60 - target.sum() + 2))
    residual = 1 / (1 + np.exp(-(intercept + x @ weights))) - inside
    assert abs(residual.sum()) < 1e-4
    assert np.abs(x.T @ residual + 0.5 * weights).max() < 1e-4


@pytest.mark.parametrize("target", [np.zeros(30), np.ones(30)])
def test_where_all_are_alike_the_fit_is_finite(target: np.ndarray) -> None:
    intercept, weights = fit_logistic(np.random.default_rng(0).normal(size=(30, 2)), target, l2=2.0)
    assert math.isfinite(intercept)
    assert np.sign(intercept) == (1 if target.all() else -1)
    assert np.abs(weights).max() < 0.1


def test_sigmoid_undoes_logit_and_neither_overflows() -> None:
    p = np.array([0.001, 0.3, 0.999])
    assert sigmoid(logit(p)) == pytest.approx(p)
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
    assert sigmoid([-1e6, 1e6]).tolist() == [0.0, 1.0]
