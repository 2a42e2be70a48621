"""The benchmarks of what a memory holds and what it leaves alone, end to end on a tiny model."""

from pathlib import Path

import pytest

from benchmarks import capacity, common, interference, locality
from nrem.consolidation.protocol_folder import save_protocol
from nrem.memory.errors import MissingFileError, UsageError
from nrem.runtime.models import load
from tests import tiny
from tests.benches import flags, run


@pytest.fixture(scope="module")
def protocol(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    base = load(str(model_folder), dtype="fp32")
    return str(save_protocol(tmp_path_factory.mktemp("protocols") / "tiny", tiny.make_keyed_protocol(base), base.identity, {}))


def test_capacity_has_a_row_for_every_size(
    rooms: Path,
    model_folder: Path,
    protocol: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = (
        "--data",
        str(rooms),
        "--chunks",
        "4",
        "--sizes",
        "1,2,4",
        "--found",
        "1,4",
        "--passes",
        "2",
        "--out",
        str(tmp_path / "raw.json"),
    )
    result = run(capacity, capsys, *asked, *flags(model_folder, f"protocol.name={protocol}"))
    curve = result["curve"]
    assert (set(curve["together"]), set(curve["found"])) == ({"1", "2", "4"}, {"1", "4"})
    assert 0 <= curve["found"]["1"]["right_among_them"] <= curve["found"]["4"]["right_among_them"] == 1
    assert curve["found"]["4"]["nll"] == pytest.approx(curve["together"]["4"]["nll"], rel=1e-4)  # all four, either way
    with pytest.raises(UsageError, match="expected divisors of --chunks"):
        capacity.main(["--data", str(rooms), "--chunks", "4", "--sizes", "3", "--skip-tests", *flags(model_folder)])
    with pytest.raises(UsageError, match="has no trained protocol"):
        capacity.main(["--data", str(rooms), "--chunks", "4", "--sizes", "4", "--skip-tests", *flags(model_folder)])


def test_locality_of_nothing_written_is_perfect(
    rooms: Path,
    model_folder: Path,
    protocol: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other.txt").write_text(tiny.STORY * 2)
    asked = ("--data", str(rooms), "--limit", "2", "--text", str(tmp_path / "other.txt"), "--out", str(tmp_path / "raw.json"))
    untrained = run(locality, capsys, *asked, *flags(model_folder, "sleep.passes=0", "protocol.name=untrained"))
    assert untrained["reader"] == pytest.approx({"ratio": 1.0, "kl": 0.0}, abs=1e-5)
    assert untrained["memory"] == pytest.approx({"ratio": 1.0, "worst_ratio": 1.0, "kl": 0.0, "n": 2}, abs=1e-5)
    written = run(locality, capsys, *asked, *flags(model_folder, "guard.enabled=false", f"protocol.name={protocol}"))
    assert written["reader"]["kl"] > 0
    assert written["memory"]["kl"] > 0
    with pytest.raises(MissingFileError, match="no such file"):
        locality.main(["--data", str(rooms), "--text", str(tmp_path / "none.txt")])


def test_what_a_passage_left_is_kept_where_questions_find_it(
    rooms: Path,
    model_folder: Path,
    protocol: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ("--out", str(tmp_path / "raw.json"))
    options = (f"protocol.name={protocol}", "fast_weights.question_chunks=1", "guard.enabled=false")
    result = run(interference, capsys, "--data", str(rooms), "--passages", "3", *out, *flags(model_folder, *options))
    assert [len(row) for row in result["recovery"]] == [3, 3, 3]
    assert result["segments"] == 1


def test_without_pytest_a_benchmark_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    common.require_green("tests/no_such_test.py")
    assert "pytest is not installed" in capsys.readouterr().err
