"""The law that the allocation benchmark rests on: what `replay` says an allocator would do on a table is what a sleep with it does.

The table is measured by a sleep of the same chunks at every level, each asked alone; then the same allocator object decides twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from benchmarks.allocation.replay import LOOK, Replay, replay
from nrem.consolidation.allocate.allocator import Allocator, Progress
from nrem.consolidation.allocate.allocators import ALLOCATORS
from nrem.consolidation.allocate.config import ResolvedSleep, SleepConfig
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.budget import Ledger
from nrem.consolidation.events import ignore
from nrem.consolidation.sleep import Sleeper
from nrem.memory.stream.chunk import Chunk
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_fast_weights, make_sleeper
from tests import tiny

PASSES = 4
MORE = (
    " The glass was ground in 1839 by Edda Sorn of Hallow. It weighed 90 kilos and came on the sledge of Piet Marsh. "
    "On 3 May 1866 a gull broke one of the 24 panes. Maren mended it with a plate from the kitchen of the inn at Wexley."
)


@dataclass(frozen=True)
class Measured:
    """Chunks, what reading left of them, and their curves."""

    base: Base
    chunks: list[Chunk]
    signals: dict[int, dict[str, float]]
    progress: tuple[Progress, ...]

    def sleeper(self, sleep: SleepConfig, table: CurveTable | None = None) -> Sleeper:
        protocol = replace(tiny.make_keyed_protocol(self.base), curves=table)
        config = tiny.make_config("guard.enabled=false", "fast_weights.question_chunks=1")
        config = replace(config, sleep=sleep)
        return make_sleeper(self.base, config, protocol, make_fast_weights(self.base, config, protocol), Ledger(), ignore)

    def curves(self, planned: Sequence[Progress], *, looking: bool) -> list[Curve]:
        """As a benchmark has them; the FET of a pass and its looks are those that the sleep itself reckoned with."""
        return [
            Curve(
                document=f"d{p.chunk // 2}",
                chunk=p.chunk,
                nll=tuple(p.nll),
                recall=tuple(p.recall),
                pass_fet=q.signals["pass_fet"] if looking else q.fet_of_a_pass,
                num_probes=p.num_probes,
                signals=p.signals | {LOOK: q.signals["look_fet"] if looking else 0.0},
            )
            for p, q in zip(self.progress, planned, strict=True)
        ]


@pytest.fixture(scope="module")
def measured(llama: Base) -> Measured:
    chunks = tiny.make_chunks(llama, tiny.STORY + MORE, max_tokens=110)
    signals = {c.index: {"surprisal": 3.0 + c.index % 3, "surprisal_median": 2.0 + c.index % 2} for c in chunks}
    found = Measured(llama, chunks, signals, ())
    even = SleepConfig(look_every=1).even(PASSES)
    result = found.sleeper(even).sleep(0, chunks, [], signals=signals)
    assert all(p.looked_at == list(range(PASSES + 1)) for p in result.progress)
    return replace(found, progress=result.progress)


def both(measured: Measured, sleep: SleepConfig, mean_passes: float) -> tuple[Allocator, tuple[Progress, ...], Replay]:
    """The same allocator through a sleep and on the table."""
    table = CurveTable(levels=tuple(range(PASSES + 1)), curves=tuple(measured.curves(measured.progress, looking=True)))
    resolved: ResolvedSleep = sleep.resolved(PASSES)
    sleeper = measured.sleeper(resolved, table)
    slept = sleeper.sleep(0, measured.chunks, [], signals=measured.signals).progress
    looking = sleeper.allocator.looks == "every"
    curves = measured.curves(slept, looking=looking)
    looks = sum(c.signals[LOOK] for c in curves)  # the first of them, which a sleep pays before it plans
    plans = "mean_passes" in resolved.chosen_by(table) and sleep.allocator != "priced"  # what is priced keeps to no plan
    budget = mean_passes * sum(p.fet_of_a_pass for p in slept) + looks if plans and mean_passes else math.inf
    return sleeper.allocator, slept, replay(curves, sleeper.allocator, budget)


@pytest.mark.parametrize("mean_passes", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("look_every", [1, PASSES])
@pytest.mark.parametrize("name", list(ALLOCATORS))
def test_a_replay_is_what_the_sleep_does(measured: Measured, name: str, look_every: int, mean_passes: float) -> None:
    sleep = SleepConfig(allocator=name, passes=PASSES, look_every=look_every, mean_passes=mean_passes, min_progress=0.01)
    allocator, slept, replayed = both(measured, sleep, mean_passes)
    assert tuple(p.passes for p in slept) == replayed.levels, allocator
    assert tuple(p.exit for p in slept) == replayed.exits
    assert [p.granted for p in slept] == [p.granted for p in replayed.progress]
    if allocator.looks == "every":
        for p, q in zip(slept, replayed.progress, strict=True):
            assert p.nll[: q.passes + 1] == pytest.approx(q.nll, rel=1e-3)


def test_the_law_is_about_something(measured: Measured) -> None:
    """The chunks are not all treated alike, neither by looks nor by predictions."""
    for look_every in (1, PASSES):
        levels = {
            both(measured, SleepConfig(allocator=name, passes=PASSES, look_every=look_every, mean_passes=1.0), 1.0)[2].levels
            for name in ("elimination", "priced")
        }
        assert any(len(set(each)) > 1 for each in levels)
