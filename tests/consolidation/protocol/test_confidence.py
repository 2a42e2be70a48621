"""Confidence: planted answers are calibrated, hopeless ones are refused, and what was measured is kept, found and used."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nrem.consolidation.protocol.confidence import Confidence
from nrem.memory.errors import MemoryFolderError


def planted(intercept: float, slope: float, count: int = 20_000) -> list[tuple[float, bool]]:
    """Answers that are right with probability sigmoid(intercept + slope * logit(p))."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, count)
    right = rng.uniform(size=count) < 1 / (1 + np.exp(-(intercept + slope * np.log(p / (1 - p)))))
    return list(zip(p.tolist(), right.tolist(), strict=True))


@pytest.mark.parametrize(("intercept", "slope"), [(-2.0, 1.5), (0.0, 1.0), (1.0, 0.3)])
def test_what_was_planted_is_found(intercept: float, slope: float) -> None:
    pairs = planted(intercept, slope)
    found = Confidence.of(pairs, passes=2)
    assert found is not None
    assert (found.intercept, found.slope) == pytest.approx((intercept, slope), abs=0.08)
    assert (found.passes, found.pairs) == (2, len(pairs))
    assert found.base_rate == pytest.approx(np.mean([ok for _, ok in pairs]))
    fitted = [found.right(p) for p, _ in pairs]
    assert np.mean(fitted) == pytest.approx(found.base_rate, abs=1e-3)  # what a fit with an intercept must reach
    assert found.brier_after == pytest.approx(np.mean([(q - ok) ** 2 for q, (_, ok) in zip(fitted, pairs, strict=True)]))
    assert found.brier_before == pytest.approx(np.mean([(p - ok) ** 2 for p, ok in pairs]))
    assert found.brier_after < found.brier_before + 1e-4


def test_the_fit_is_where_the_gradient_is_zero() -> None:
    pairs = planted(-1.0, 0.7, count=50)
    found = Confidence.of(pairs)
    assert found is not None
    wins = sum(ok for _, ok in pairs)
    targets = [(wins + 1) / (wins + 2) if ok else 1 / (len(pairs) - wins + 2) for _, ok in pairs]
    left = [found.right(p) - t for (p, _), t in zip(pairs, targets, strict=True)]
    assert sum(left) == pytest.approx(0, abs=1e-4)
    assert sum(x * math.log(p / (1 - p)) for x, (p, _) in zip(left, pairs, strict=True)) == pytest.approx(0, abs=1e-4)


def test_the_order_of_answers_stays_and_both_ends_are_finite() -> None:
    found = Confidence.of(planted(-2.0, 1.5, count=100))
    assert found is not None
    values = [found.right(p) for p in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] < 1


def test_answers_that_p_tells_apart_without_error_have_a_finite_fit() -> None:
    found = Confidence.of([(0.1, False)] * 30 + [(0.9, True)] * 10)
    assert found is not None
    assert found.right(0.1) == pytest.approx(1 / 32, abs=1e-3)
    assert found.right(0.9) == pytest.approx(11 / 12, abs=1e-3)


def test_a_probability_that_says_nothing_leaves_the_base_rate() -> None:
    for pairs in (planted(0.0, -1.0, count=200), [(0.5, n % 4 == 0) for n in range(400)]):
        found = Confidence.of(pairs)
        assert found is not None
        assert found.slope == 0
        assert found.right(0.01) == found.right(0.99) == pytest.approx(found.base_rate, abs=0.01)


def test_too_few_answers_and_answers_of_one_kind_are_refused() -> None:
    assert Confidence.of(planted(0.0, 1.0, count=19)) is None
    assert Confidence.of([(0.1 + n / 100, True) for n in range(40)]) is None
    assert Confidence.of([(0.1 + n / 100, False) for n in range(40)]) is None


def test_json_brings_the_same_back_and_refuses_the_rest() -> None:
    found = Confidence.of(planted(-1.0, 1.0, count=100))
    assert found is not None
    assert Confidence.from_json(found.to_json(), "here") == found
    assert "others" not in found.to_dict()  # as it was before there were any
    both = replace(found, others=(replace(found, way="search", slope=0.5),))
    assert Confidence.from_json(both.to_json(), "here") == both
    assert [both.of_way(way) for way in ("direct", "search", "read")] == [both, both.others[0], None]
    torn = both.to_json().replace('"slope": 0.5', '"slope": NaN')
    wrong = ["{}", "[]", "no", torn, '{"others": 1}', replace(found, slope=math.nan).to_json()]
    for text in (*wrong, found.to_json().replace("pairs", "pears")):
        with pytest.raises(MemoryFolderError, match=r"here: not a calibration of confidence .* measure it again with nrem ceiling"):
            Confidence.from_json(text, "here")
