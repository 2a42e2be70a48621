"""The arms of `benchmarks.allocation.run` on a cached table, at equal FET, with the looks that they decide by charged to them.

Every document is a sleep with a budget of passes a chunk. What an arm did not spend is not held against it: it is compared with
the FET that it did spend, spread evenly (uniform), dealt out at random in its own histogram (shuffled), or placed best (oracle). What is
calibrated is calibrated on the other documents. Gains are in answer NLL, nats per token, above 0 for better. Knows nothing about models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.allocation.replay import Replay, even_gains, gains_at, oracle_gains, replay, shuffled_gains
from benchmarks.allocation.saved import Savings
from benchmarks.allocation.table import Tables
from nrem.consolidation.allocate.config import ResolvedSleep
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.allocate.greedy import Greedy
from nrem.consolidation.allocate.predict import SIGNALS, GainPredictor
from nrem.consolidation.resample import Resampler, interval

ARMS = ("elimination", "elimination_looking", "greedy", "priced")
"""`elimination_looking` asks the probes after every pass, and pays for it; the others decide by what reading left."""
LEAST_HEADROOM = 0.01
"""Nats below which there is nothing to close, and no share of it."""
NO_SHARE: dict[str, float | None] = {"mean": None, "low": None, "high": None}
SLEEP_CHUNKS = 4
"""Chunks of one sleep, for the arm that does not know the rest of the document."""


@dataclass
class Scores:
    """One arm at one budget, a value for every chunk that something scores."""

    documents: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    recall_before: list[float] = field(default_factory=list)
    gained: list[float] = field(default_factory=list)
    even: list[float] = field(default_factory=list)
    shuffled: list[float] = field(default_factory=list)
    oracle: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    even_recall: list[float] = field(default_factory=list)
    fet: float = 0.0
    look_fet: float = 0.0
    gates: list[bool] = field(default_factory=list)
    savings: Savings = field(default_factory=Savings)

    def add(self, deciding: Sequence[Curve], scoring: Sequence[Curve], found: Replay) -> None:
        """One document's chunks."""
        rows = zip(
            deciding,
            scoring,
            found.levels,
            even_gains(scoring, found.fet),
            even_gains([_recall_as_gain(c) for c in scoring], found.fet),
            shuffled_gains(scoring, found.levels),
            oracle_gains(scoring, found.fet),
            gains_at(scoring, found.levels),
            strict=True,
        )
        for decided, scored, level, even, even_recall, shuffled, oracle, gained in rows:
            if scored.num_probes:
                self.documents.append(scored.document)
                self.kinds.append(scored.label)
                self.levels.append(level)
                self.recall_before.append(decided.recall[0] if decided.num_probes else 0.0)
                self.gained.append(gained)
                self.even.append(even)
                self.shuffled.append(shuffled)
                self.oracle.append(oracle)
                self.recall.append(scored.recall[level] - scored.recall[0])
                self.even_recall.append(even_recall)
        self.savings.add(scoring, gains_at(scoring, found.levels), found.fet)
        self.fet += found.fet
        self.look_fet += found.look_fet

    def report(self) -> dict[str, Any]:
        """Differences with intervals by document, and what each kind of chunk got."""
        resampler, kinds = Resampler(self.documents), sorted(set(self.kinds))
        against = {name: np.subtract(self.gained, getattr(self, name)) for name in ("even", "shuffled", "oracle")}
        headroom = np.subtract(self.oracle, self.even)
        solved = [level for level, recall in zip(self.levels, self.recall_before, strict=True) if recall >= 1]
        return {
            "minus_uniform": self._with_interval(against["even"], resampler),
            "minus_shuffled": self._with_interval(against["shuffled"], resampler),
            "recall_minus_uniform": self._with_interval(np.subtract(self.recall, self.even_recall), resampler),
            "headroom": self._with_interval(headroom, resampler),
            "headroom_share": self._share(against["even"], headroom, resampler) if headroom.mean() >= LEAST_HEADROOM else NO_SHARE,
            "fet_saved": self.savings.report(),
            "gain": float(np.mean(self.gained)),
            "passes": float(np.mean(self.levels)),
            "passes_by_kind": {k: float(np.mean([n for n, kind in zip(self.levels, self.kinds, strict=True) if kind == k])) for k in kinds},
            "passes_of_solved": float(np.mean(solved)) if solved else None,
            "fet": self.fet,
            "look_fet": self.look_fet,
            **({"gate_passed": float(np.mean(self.gates))} if self.gates else {}),
        }

    def _share(self, won: np.ndarray, headroom: np.ndarray, resampler: Resampler) -> dict[str, float | None]:
        drawn = resampler.means(won.tolist(), self.documents) / resampler.means(headroom.tolist(), self.documents)
        return {"mean": float(won.mean() / headroom.mean())} | _ends(drawn)

    def _with_interval(self, values: np.ndarray, resampler: Resampler) -> dict[str, float | None]:
        return {"mean": float(values.mean())} | _ends(resampler.means(values.tolist(), self.documents))


def score(tables: Tables, sleep: ResolvedSleep, mean_passes: float) -> dict[str, dict[str, Any]]:
    """All arms with a budget of `mean_passes` a chunk."""
    scores = {arm: Scores() for arm in ARMS}
    for name in sorted({c.document for c in tables.deciding.curves}):
        deciding = [c for c in tables.deciding.curves if c.document == name]
        scoring = [c for c in tables.scoring.curves if c.document == name]
        others = replace(tables.deciding, curves=tuple(c for c in tables.deciding.curves if c.document != name and c.num_probes))
        for arm, rows in scores.items():
            found, gate = _run(arm, deciding, others, sleep, mean_passes)
            rows.add(deciding, scoring, found)
            rows.gates += gate
    return {arm: rows.report() for arm, rows in scores.items()}


def _run(arm: str, deciding: Sequence[Curve], others: CurveTable, sleep: ResolvedSleep, mean_passes: float) -> tuple[Replay, list[bool]]:
    budget = mean_passes * sum(c.pass_fet for c in deciding)
    looking = replace(sleep, allocator="elimination", look_every=1)
    if arm == "elimination_looking" or not others.curves:
        return replay(deciding, looking.make_allocator(others), budget), []
    if arm == "elimination":
        return replay(deciding, replace(sleep, allocator="elimination").make_allocator(others), budget), []
    if arm == "greedy":
        greedy = replace(sleep, allocator="greedy").make_allocator(others)
        assert isinstance(greedy, Greedy)
        return replay(deciding, greedy, budget), [greedy.gate_at(mean_passes).passed]
    return _stream(deciding, others, replace(sleep, allocator="priced", mean_passes=mean_passes), budget), []


def _stream(deciding: Sequence[Curve], others: CurveTable, sleep: ResolvedSleep, budget: float) -> Replay:
    """Sleep after sleep, each knowing only its own chunks and the price."""
    allocator, parts = sleep.make_allocator(others), []
    for start in range(0, len(deciding), SLEEP_CHUNKS):
        chunks = deciding[start : start + SLEEP_CHUNKS]
        found = replay(chunks, allocator, budget)
        allocator = allocator.at_price(allocator.next_price(found.progress))
        budget -= found.fet
        parts.append(found)
    return Replay.joined(parts)


def correlations(tables: Tables, level: int) -> dict[str, dict[str, float | None]]:
    """Rank correlation of each signal's out-of-fold prediction with the gain at a level, by which the length alone is the baseline."""
    kept = [(s, d) for s, d in zip(tables.scoring.curves, tables.deciding.curves, strict=True) if s.num_probes and d.num_probes]
    scoring, deciding = [s for s, _ in kept], [d for _, d in kept]
    documents = [c.document for c in scoring]
    gains = np.array([c.gain(level) for c in scoring])
    sets = {"length": ("num_tokens",), **{name: (name,) for name in (*SIGNALS[1:], "context_gap")}, "all": SIGNALS}
    found = {name: _rank_correlation(_out_of_fold(scoring, names, level), gains, documents) for name, names in sets.items()}
    later = np.array([c.gain(len(c.nll) - 1) - c.gain(1) for c in scoring])
    first = np.array([c.gain(1) for c in deciding])
    return found | {"first_gain_with_later_gain": _rank_correlation(first, later, documents)}


def _out_of_fold(curves: Sequence[Curve], names: Sequence[str], level: int) -> np.ndarray:
    out = np.zeros(len(curves))
    for name in {c.document for c in curves}:
        others = [c for c in curves if c.document != name]
        if others:
            predictor = GainPredictor.fit(range(len(others[0].nll)), others, names)
            for i, c in enumerate(curves):
                if c.document == name:
                    out[i] = predictor.predict(c.signals)[level]
    return out


def _rank_correlation(a: np.ndarray, b: np.ndarray, documents: Sequence[str]) -> dict[str, float | None]:
    rng, names = np.random.default_rng(0), sorted(set(documents))
    rows = {name: [i for i, d in enumerate(documents) if d == name] for name in names}
    drawn = [[i for name in rng.choice(names, len(names)) for i in rows[name]] for _ in range(500)]
    return {"mean": _spearman(a, b)} | _ends(np.array([value for draw in drawn if (value := _spearman(a[draw], b[draw])) is not None]))


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    ranks = [np.searchsorted(np.sort(x), x, "left") + np.searchsorted(np.sort(x), x, "right") for x in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(a) > 2 and all(r.std() > 0 for r in ranks) else None


def _recall_as_gain(curve: Curve) -> Curve:
    return replace(curve, nll=tuple(-r for r in curve.recall))


def _ends(resampled: np.ndarray) -> dict[str, float | None]:
    low, high = interval(resampled) or (None, None)
    return {"low": low, "high": high}
