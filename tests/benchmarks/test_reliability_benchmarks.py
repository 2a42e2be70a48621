"""The reliability benchmarks, end to end on a few kills and pairs: aimed ones, whose outcome is known."""

import json
import random
from pathlib import Path

import pytest

from benchmarks.reliability import kills, writers
from benchmarks.reliability.ground import SECRET, Ground
from benchmarks.reliability.killed import run


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def operations(on: Ground) -> dict[str, kills.Operation]:
    return kills.operations(on)


class At(random.Random):
    """Draws an aimed point, and this one."""

    def __init__(self, share: float) -> None:
        super().__init__(0)
        self.share = share

    def random(self) -> float:
        return 0.0

    def randint(self, a: int, b: int) -> int:
        return round(a + self.share * (b - a))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["save", "forget", "rm", "extend", "resume"])
def test_a_kill_is_old_or_new_and_nothing_is_lost(on: Ground, operations: dict[str, kills.Operation], name: str) -> None:
    trials = kills.Trials(on, name, operations[name])
    assert trials.problems == []
    rows = [trials.trial(At(share)) for share in (0.0, 1.0)]
    for row in rows:
        assert row["killed"]
        assert not any(row[key] for key in ("lost", "gone", "silent", "tracebacks", "foreign", "left", "stuck")), row
    assert (rows[0]["old"], rows[1]["old"]) == (True, False)
    assert kills.counted(rows)["all"]["new"] == 1


def test_what_is_wrong_is_counted(on: Ground, operations: dict[str, kills.Operation]) -> None:
    """A benchmark that could find nothing finds nothing."""
    trials = kills.Trials(on, "rm", operations["rm"])
    on.fresh(*operations["rm"].before)
    assert on.holds(SECRET) == ["m/text/chunks.jsonl"]
    (on.here / "m" / "adapter_model.safetensors").write_bytes(b"torn")
    assert on.state().startswith("damaged: adapter_model.safetensors")
    (on.here / "m" / "notes.txt").write_text("other notes", encoding="utf-8")
    (on.here / ".m.1.old").mkdir()
    assert on.touched(trials.theirs) == ["m/notes.txt"]
    assert on.left() == [".m.1.old"]
    assert run(lambda: 3).code == 3
    assert run(lambda: 1 / 0).code == 1


@pytest.mark.slow
def test_two_writers(on: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "PAIRS", (("extend", "extend"), ("forget", "rm")))
    file = tmp_path / "rows.jsonl"
    found = list(writers.rows(2, 0, file))
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] == found
    for row in found:
        assert row["both"] or row["told"], row
        assert not any(row[key] for key in ("died", "lost", "tracebacks", "foreign", "left")), row
