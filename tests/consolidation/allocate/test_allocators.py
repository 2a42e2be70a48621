"""The table of allocators: one more is a file and a row, each is documented, and each goes by the keys that it says it goes by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pytest

from benchmarks.allocation.replay import replay
from nrem.consolidation.allocate.allocator import CHOSEN_BY, Allocator, Exit, Looks, Progress, Terms
from nrem.consolidation.allocate.allocators import ALLOCATORS
from nrem.consolidation.allocate.config import ResolvedSleep, SleepConfig
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.memory.errors import ConfigError
from nrem.runtime.config import load_config
from nrem.runtime.models.load import Base
from nrem.runtime.readers.text import Document
from nrem.runtime.session.session import Session
from nrem.runtime.without_effect import without_effect
from tests import tiny


@dataclass(frozen=True, kw_only=True)
class EveryOther(Allocator):
    """What a contributor would write: chunks with an odd number get no pass."""

    passes: int
    looks: Looks = "none"

    @classmethod
    def of(cls, terms: Terms, curves: CurveTable | None) -> Self:
        return cls(passes=terms.passes)

    def exits(self, active: Sequence[Progress]) -> dict[int, Exit]:
        return {p.chunk: "cap" for p in active if p.passes >= self.passes or p.chunk % 2}


def test_a_new_allocator_is_a_class_and_a_row(llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = "sleep.allocator=every-other"
    with pytest.raises(ConfigError, match=r"got 'every-other', expected uniform, elimination, greedy or priced"):
        load_config(None, [setting])
    monkeypatch.setitem(ALLOCATORS, "every-other", EveryOther)
    with pytest.raises(ConfigError, match=r"got 'best', expected uniform, elimination, greedy, priced or every-other"):
        load_config(None, ["sleep.allocator=best"])
    session = Session(base=llama, config=tiny.make_config(setting, "guard.enabled=false", "sleep.patience=3"))
    memory = session.stream(Document.from_text(tiny.STORY, "d", "Orrin"))
    assert [c.passes for c in memory.record.chunks] == [0 if c.index % 2 else 2 for c in memory.record.chunks]
    assert len(memory.record.chunks) > 2
    assert memory.record.config["sleep"]["allocator"] == "every-other"
    assert any(f.B.abs().sum() > 0 for f in memory.segments[0].weights.factors.values())
    told = without_effect(session.config, session.protocol)
    assert told[-1] == "sleep.patience (--set) has no effect: sleep.allocator is every-other (--set)"


@pytest.mark.parametrize("name", list(ALLOCATORS))
def test_every_allocator_says_what_it_is(name: str) -> None:
    assert (ALLOCATORS[name].__doc__ or "").splitlines()[0].endswith(".")


def planted(seed: int = 0) -> CurveTable:
    rng = np.random.default_rng(seed)
    curves = []
    for i in range(60):
        height = (0.0, 0.15, 1.0, 3.0)[i % 4]
        nll = 4 - height * (1 - 0.5 ** np.arange(5)) + rng.normal(0, 0.01, 5)
        signals = {"num_tokens": 100.0, "surprisal": height + rng.normal(0, 0.3), "surprisal_median": 1.0, "look_fet": 10.0}
        curve = Curve(
            document=f"d{i // 4}",
            chunk=i,
            nll=tuple(nll.tolist()),
            recall=(0.0,) * 5,
            pass_fet=100.0,
            num_probes=0 if i % 7 == 0 else 3,
            signals=signals,
        )
        curves.append(replace(curve, signals=signals | {"nll_before": curve.nll[0], "recall_before": 0.0}))
    return CurveTable(levels=tuple(range(5)), curves=tuple(curves))


OTHER: dict[str, Any] = {"blind_passes": 3, "risk": 0.5, "min_progress": 0.2, "patience": 2}
"""What an allocator may be made by, at other values; `curves` and `mean_passes` come from outside, too."""


def levels_of(sleep: ResolvedSleep, table: CurveTable | None) -> list[tuple[int, ...]]:
    allocator, curves = sleep.make_allocator(table), planted(seed=1).curves
    budgets = (float("inf"), 150.0 * len(curves))
    return [replay(curves, allocator, budget).levels for budget in budgets]


@pytest.mark.parametrize("look_every", [1, 4])
@pytest.mark.parametrize(
    ("name", "measured"), [*((name, True) for name in ALLOCATORS), *((name, False) for name in ("uniform", "elimination"))]
)
def test_an_allocator_goes_by_what_it_says(name: str, measured: bool, look_every: int) -> None:
    table = planted() if measured else None
    sleep = SleepConfig(allocator=name, passes=4, look_every=look_every, mean_passes=1.0).resolved(4)
    uses, before = sleep.chosen_by(table), levels_of(sleep, table)
    assert uses <= CHOSEN_BY
    idle = {key: value for key, value in OTHER.items() if key not in uses}
    assert levels_of(replace(sleep, **idle), table) == before
    for key in OTHER.keys() & uses - {"risk"}:
        assert levels_of(replace(sleep, **{key: OTHER[key]}), table) != before, key
    if "mean_passes" not in uses:
        assert levels_of(replace(sleep, mean_passes=3.0), table) == before
