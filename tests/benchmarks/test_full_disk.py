"""The benchmark of full disks, end to end on the smallest and the largest of them."""

from pathlib import Path

import pytest

from benchmarks.reliability import full_disk
from benchmarks.reliability.ground import Ground
from benchmarks.reliability.small_disk import SmallDisk, can_mount


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def operations(on: Ground) -> dict[str, full_disk.Operation]:
    return full_disk.operations(on)


@pytest.mark.slow
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("name", ["sleep", "extend", "forget", "ask"])
def test_old_or_new_and_one_sentence(on: Ground, operations: dict[str, full_disk.Operation], name: str, mounted: bool) -> None:
    if mounted and not can_mount(on.folder):
        pytest.skip("a tmpfs cannot be mounted here")
    trials = full_disk.Trials(on, name, operations[name], SmallDisk(on.here) if mounted else None)
    rows = [trials.trial(share) for share in (0.02, 1.0)]
    for row in rows:
        assert row["well"] or row["told"], row
        assert not any(row[key] for key in ("lost", "wordy", "tracebacks", "stuck", "foreign", "left")), row
    assert rows[1]["well"]
    assert name in ("ask", "forget") or rows[0]["told"]  # these need hardly any room
    if rows[0]["told"]:
        assert "; what was there before is as it was" in rows[0]["said"]


def test_a_small_disk_is_full(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("a tmpfs cannot be mounted here")
    disk = SmallDisk(tmp_path / "disk")
    assert disk.mount(1 << 16)
    try:
        (disk.place / "a").write_bytes(b"x" * 5000)
        assert disk.used == 8192
        with pytest.raises(OSError, match="No space left"):
            (disk.place / "b").write_bytes(b"x" * (1 << 16))
        disk.grow(1 << 20)
        (disk.place / "b").write_bytes(b"x" * (1 << 16))
    finally:
        disk.unmount()
