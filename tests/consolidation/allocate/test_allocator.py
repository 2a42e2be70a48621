"""Allocators on planted tables: under random budgets, and what each exit means."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.allocation.replay import Replay, even_gains, gains_at, oracle_gains, replay, shuffled_gains, shuffled_levels
from nrem.consolidation.allocate.allocator import Allocator, Limits, Progress
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.allocate.elimination import Elimination
from nrem.consolidation.allocate.greedy import Greedy
from nrem.consolidation.allocate.hull import even_levels, hull_levels
from nrem.consolidation.allocate.predict import Calibration, GainPredictor, Gate, at_levels
from nrem.consolidation.allocate.priced import Priced
from nrem.consolidation.allocate.risk import calibrated_progress
from nrem.consolidation.allocate.uniform import Uniform


def planted(documents: int = 10, chunks: int = 8, seed: int = 0, *, informative: bool = True) -> CurveTable:
    """Chunks that are solved, learnable or hopeless, and a signal that says which, or does not."""
    rng, curves = np.random.default_rng(seed), []
    for document in range(documents):
        for chunk in range(chunks):
            kind = ("solved", "learnable", "slow", "junk")[chunk % 4]
            height = {"solved": 0.0, "learnable": 3.0, "slow": 1.5, "junk": 0.0}[kind]
            ratio = 0.75 if kind == "slow" else 0.4
            gains = height * (1 - ratio ** np.arange(5)) + rng.normal(0, 0.005, 5)
            start = {"solved": 0.1, "learnable": 4.0, "slow": 3.0, "junk": 6.0}[kind]
            nll = start - (gains - gains[0])
            recall = np.ones(5) if kind == "solved" else np.where(nll < 1.1, 1.0, 0.0) if height else np.zeros(5)
            shown = height if informative else rng.normal()
            signals = {"num_tokens": 100.0, "surprisal": shown + rng.normal(0, 0.1), "look_fet": 10.0}
            curves.append(
                Curve(
                    document=f"d{document}",
                    chunk=chunk,
                    nll=tuple(nll.tolist()),
                    recall=tuple(recall.tolist()),
                    pass_fet=float(rng.uniform(80, 120)),
                    num_probes=4,
                    signals=signals | ({"nll_before": float(nll[0]), "recall_before": float(recall[0])} if informative else {}),
                    label=kind,
                )
            )
    return CurveTable(levels=tuple(range(5)), curves=tuple(curves))


FOUR = Limits(passes=4)


def allocators(table: CurveTable) -> list[Allocator]:
    calibration = Calibration(table)
    return [
        Uniform(passes=4),
        Elimination(limits=FOUR, min_progress=0.1),
        Greedy(limits=FOUR, calibration=calibration, min_progress=0.02),
        Priced(limits=FOUR, calibration=calibration, price=0.004),
    ]


def test_the_cap_is_never_exceeded_and_the_same_input_gives_the_same_levels() -> None:
    table, fresh = planted(), planted(documents=2, seed=1).curves
    whole, rng = 4 * sum(c.pass_fet for c in fresh), np.random.default_rng(0)
    for budget in rng.uniform(0, 1.2 * whole, 200):
        for allocator in allocators(table):
            found = replay(fresh, allocator, budget)
            assert found.fet <= budget + 1e-6
            assert len(found.exits) == len(fresh)
            assert found == replay(fresh, allocator, budget)


def total(curves: Sequence[Curve], found: Replay) -> tuple[float, float, float]:
    """What was gained, what the same FET spread evenly gains, and the most that it can."""
    return sum(gains_at(curves, found.levels)), sum(even_gains(curves, found.fet)), sum(oracle_gains(curves, found.fet))


def test_on_mixed_chunks_all_that_choose_beat_uniform_and_shuffled_with_looks_charged() -> None:
    table, fresh = planted(), planted(documents=6, seed=1).curves
    budget = 2 * sum(c.pass_fet for c in fresh)
    for allocator in allocators(table)[1:]:
        found = replay(fresh, allocator, budget)
        gained, even, oracle = total(fresh, found)
        assert found.look_fet > 0
        assert even < gained <= oracle + 1e-6, allocator
        assert gained > sum(shuffled_gains(fresh, found.levels)), allocator
        by_kind = {kind: [n for c, n in zip(fresh, found.levels, strict=True) if c.label == kind] for kind in ("solved", "junk")}
        assert set(by_kind["solved"]) == {0}
        assert np.mean(by_kind["junk"]) <= 1.2


def predicting(table: CurveTable) -> list[Allocator]:
    """Those that look at nothing."""
    calibration, limits = Calibration(table), replace(FOUR, blind_passes=4)
    return [
        Elimination(limits=limits, min_progress=0.02, predictor=calibration.predictor, looks="none"),
        Greedy(limits=limits, calibration=calibration, min_progress=0.02, looks="none"),
        Priced(limits=limits, calibration=calibration, price=0.004, looks="none"),
    ]


def test_what_reading_left_is_enough_to_choose_by() -> None:
    table, fresh = planted(), planted(documents=6, seed=1).curves
    for share in (0.5, 1.0, 2.0):
        budget = share * sum(c.pass_fet for c in fresh)
        for allocator in predicting(table):
            found = replay(fresh, allocator, budget)
            gained, even, oracle = total(fresh, found)
            assert found.look_fet == 0
            assert found.fet <= budget
            assert even + 0.1 * (oracle - even) < gained <= oracle + 1e-6, allocator
            nothing = [n for c, n in zip(fresh, found.levels, strict=True) if c.label in ("solved", "junk")]
            assert np.mean(nothing) <= 0.2
    unasked = [replace(c, nll=(9.0,) * 5, recall=(1.0,) * 5, num_probes=0) for c in fresh]
    for allocator in predicting(table):
        assert replay(unasked, allocator, 1e4).levels == replay(fresh, allocator, 1e4).levels, "no answer is looked at"


def test_without_a_budget_what_promises_nothing_leaves_at_once() -> None:
    elimination = predicting(planted())[0]
    progress = [Progress(chunk=i, num_probes=0, signals={"surprisal": s}) for i, s in enumerate((0.0, 3.0))]
    elimination.plan(progress, float("inf"))
    assert elimination.exits(progress) == {0: "solved"}
    progress[1].passes = 4
    assert elimination.exits(progress[1:]) == {1: "cap"}


def test_shuffled_keeps_the_histogram_and_follows_its_seed() -> None:
    levels = [0, 1, 1, 2, 4, 4]
    dealt = [shuffled_levels(levels, seed) for seed in range(200)]
    assert all(sorted(d) == levels for d in dealt)
    assert dealt[3] == shuffled_levels(levels, 3)
    curves = planted(documents=1, chunks=6).curves
    drawn = np.mean([gains_at(curves, d) for d in dealt], axis=0)
    assert np.allclose(drawn, shuffled_gains(curves, levels), atol=0.3)


def test_the_gate_passes_only_what_predicts() -> None:
    good, blind = (Gate.of(Calibration(planted(informative=known)), 1.0) for known in (True, False))
    assert good.passed
    assert good.gain > 0
    assert good.documents == 10
    assert not blind.passed
    assert Gate.of(Calibration(planted(documents=2)), 1.0) == Gate(passed=False, gain=0.0, t=0.0, documents=2)


def test_behind_a_closed_gate_greedy_spreads_evenly() -> None:
    table = planted(informative=False)
    greedy = Greedy(limits=FOUR, calibration=Calibration(table), min_progress=-1.0)
    progress = [Progress(chunk=i, num_probes=2, recall=[0.0], nll=[3.0], signals={"pass_fet": 10.0}) for i in range(4)]
    greedy.plan(progress, 60.0)
    assert [p.granted for p in progress] == [2, 2, 1, 1]


def test_what_is_predicted_is_the_mean_curve_for_an_average_chunk() -> None:
    table = planted()
    predictor = GainPredictor.fit(table.levels, table.curves)
    assert predictor.predict({}) == pytest.approx(np.mean([[c.gain(k) for k in range(5)] for c in table.curves], axis=0).tolist())
    assert predictor.predict({"surprisal": 1e9}) == predictor.predict({"surprisal": 1e6})  # nothing is extrapolated
    assert predictor.predict(table.curves[1].signals)[4] > predictor.predict(table.curves[3].signals)[4] + 1


def test_greedy_says_why_a_chunk_leaves() -> None:
    table = planted()
    greedy = Greedy(limits=FOUR, calibration=Calibration(table), min_progress=0.02)
    solved, learnable, slow, junk = (replace(c, recall=(0.0,) * 5) for c in table.curves[:4])
    rich, poor = (replay([learnable, slow, junk], greedy, budget) for budget in (1e9, 250))
    assert rich.exits[:2] == ("cap", "cap")
    assert "budget" in poor.exits
    assert replay([replace(solved, recall=(1.0,) * 5)], greedy, 1e9).exits == ("solved",)


def test_a_price_buys_only_what_is_worth_it_and_follows_the_spending() -> None:
    table = planted()
    priced = Priced(limits=FOUR, calibration=Calibration(table), mean_passes=1.0)
    (learnable,) = [c for c in table.curves[:4] if c.label == "learnable"]
    free, dear, never = (replay([learnable], priced.at_price(price), 1e9) for price in (0.0, 0.005, 1.0))
    assert free.levels > dear.levels > never.levels == (0,)
    assert dear.exits == never.exits == ("budget",)

    def after(passes: int) -> float:
        return priced.at_price(0.001).next_price([Progress(chunk=0, num_probes=1, passes=passes, signals={"pass_fet": 100.0})])

    assert after(0) < after(1) < after(4)
    assert after(1) == pytest.approx(0.001)
    assert priced.next_price([Progress(chunk=0, num_probes=1, signals={"pass_fet": 1.0})]) == 0.0
    geometric = Progress(chunk=0, num_probes=1, passes=2, nll=[4.0, 3.0, 2.5], recall=[0.0] * 3, looked_at=[0, 1, 2])
    assert priced.next_gain(geometric) == pytest.approx(0.25)


def test_prices_converge_to_the_target() -> None:
    table = planted()
    priced, curves, price, spent = (
        Priced(limits=FOUR, calibration=Calibration(table), mean_passes=1.0),
        planted(documents=1).curves,
        0.0,
        [],
    )
    for _ in range(40):
        levels = replay(curves, priced.at_price(price), 1e9).levels
        progress = [Progress(chunk=i, num_probes=4, passes=n, signals={"pass_fet": 100.0}) for i, n in enumerate(levels)]
        price = priced.at_price(price).next_price(progress)
        spent.append(float(np.mean(levels)))
    assert spent[0] > 1.2  # at no price
    opening = priced.at_price(priced.calibration.price_at(1.0))
    assert np.mean(replay(curves, opening, 1e9).levels) == pytest.approx(1.0, abs=0.4)
    assert np.mean(spent[20:]) == pytest.approx(1.0, abs=0.2)


def late(seed: int, chunks: int = 100) -> CurveTable:
    """Half of the chunks gain steadily, some of them little at first; the other half gain nothing."""
    rng, curves = np.random.default_rng(seed), []
    for chunk in range(chunks):
        steps = rng.uniform(0.0, 0.5, 3) + 0.05 if chunk % 2 else rng.uniform(-0.008, 0.008, 3)
        nll = tuple(float(x) for x in 5 - np.concatenate([[0], np.cumsum(steps)]))
        curves.append(Curve(document=str(chunk), chunk=chunk, nll=nll, recall=(0.0,) * 4, pass_fet=1.0, num_probes=3))
    return CurveTable(levels=(0, 1, 2, 3), curves=tuple(curves))


def test_the_threshold_keeps_the_stated_risk_on_fresh_chunks() -> None:
    thresholds = [threshold for risk in (0.03, 0.1, 0.3) if (threshold := calibrated_progress(late(0), risk)) is not None]
    assert thresholds == sorted(thresholds)
    assert thresholds[0] > 0.01
    for risk, threshold in zip((0.03, 0.1, 0.3), thresholds, strict=True):
        fresh = [c for c in late(1, 400).curves if c.chunk % 2]
        rule = Elimination(limits=Limits(passes=3), min_progress=threshold)
        exits = replay(fresh, rule, 1e9).exits
        assert exits.count("hopeless") / len(fresh) <= risk + 0.05
    assert calibrated_progress(late(0, 10), 0.05) is None  # five chunks promise nothing


def test_a_chunk_without_probes_gets_one_pass() -> None:
    table = planted()
    blind = replace(table.curves[1], num_probes=0, nll=(0.0,) * 5, recall=(0.0,) * 5)
    for allocator in allocators(table)[1:]:
        found = replay([blind, table.curves[1]], allocator, 1e9)
        assert (found.levels[0], found.exits[0]) == (1, "hopeless")


def test_a_table_is_read_at_other_levels() -> None:
    table = CurveTable(
        levels=(0, 2, 4), curves=(Curve(document="d", chunk=0, nll=(4, 2, 1), recall=(0, 0.5, 1), pass_fet=1, num_probes=2),)
    )
    (curve,) = at_levels(table, range(6)).curves
    assert curve.nll == (4, 3, 2, 1.5, 1, 1)
    assert curve.recall == (0, 0.25, 0.5, 0.75, 1, 1)


def test_what_is_exactly_enough_for_all_is_enough_for_the_last_one() -> None:
    """0.1 + 0.2 is more than 0.3: a budget of one pass a chunk must not leave out a chunk for what rounding takes."""
    costs = [0.1, 0.2, 0.3, 0.7, 0.1]
    gains = [[0.0, 1.0, 1.01]] * len(costs)
    for mean_passes in (1, 2):
        assert hull_levels((0, 1, 2), gains, costs, mean_passes * sum(costs)) == [mean_passes] * len(costs)
        assert even_levels(costs, mean_passes * sum(reversed(costs)), 2) == [mean_passes] * len(costs)
        curves = [Curve(document="d", chunk=0, nll=(3.0, 2.0, 1.99), recall=(0.0,) * 3, pass_fet=cost, num_probes=1) for cost in costs]
        assert replay(curves, Uniform(passes=2), mean_passes * sum(reversed(costs))).levels == (mean_passes,) * len(costs)
