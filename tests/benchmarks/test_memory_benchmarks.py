"""The benchmarks of what a memory holds and what it leaves alone, end to end on a tiny model."""

from pathlib import Path

import pytest

from benchmarks import capacity, domains, interference, locality, many
from benchmarks.harness import common
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import MissingFileError, UsageError
from nrem.runtime.models.load import load
from tests import tiny
from tests.benches import flags, run


@pytest.fixture(scope="module")
def protocol(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    base = load(str(model_folder), dtype="fp32")
    return str(save_protocol(tmp_path_factory.mktemp("protocols") / "tiny", tiny.make_keyed_protocol(base), base.identity, {}))


@pytest.fixture(scope="module")
def ridge(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    base = load(str(model_folder), dtype="fp32")
    return str(save_protocol(tmp_path_factory.mktemp("protocols") / "ridge", tiny.make_ridge_protocol(base), base.identity, {}))


def test_capacity_has_a_row_for_every_size(
    rooms: Path, model_folder: Path, protocol: str, ridge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--data", str(rooms), "--chunks", "4", "--sizes", "1,4", "--passes", "1,2", "--out", str(tmp_path / "raw.json"))
    result = run(capacity, capsys, *asked, "--ranks", "2,34", *flags(model_folder, f"protocol.name={ridge}"))
    assert {size: set(by_level) for size, by_level in result["curve"].items()} == {"1": {"1", "2"}, "4": {"1", "2"}}
    uncut, cut = result["curve"]["4"]["2"], result["by_rank"]
    assert cut["34"]["nll"] == pytest.approx(uncut["nll"], rel=0.05)
    assert cut["2"]["nll"] != pytest.approx(uncut["nll"], rel=1e-3), "a smaller rank is another memory"
    for figures in (uncut, cut["2"]):
        assert figures["interval"][0] <= figures["recovery"] <= figures["interval"][1]
    older = run(capacity, capsys, *asked, "--nll-only", *flags(model_folder, f"protocol.name={protocol}"))
    assert older["curve"]["1"]["1"]["nll"] != older["curve"]["4"]["1"]["nll"]
    with pytest.raises(UsageError, match="expected divisors of --chunks"):
        capacity.main(["--data", str(rooms), "--chunks", "4", "--sizes", "3", "--skip-tests", *flags(model_folder)])
    with pytest.raises(UsageError, match="has no trained protocol"):
        capacity.main([*asked, "--skip-tests", *flags(model_folder, "protocol.name=untrained")])


def test_domains_have_a_row_for_every_file(
    rooms: Path, model_folder: Path, ridge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "places_dev.jsonl"
    other.write_text(rooms.read_text(encoding="utf-8"), encoding="utf-8")
    asked = ("--data", str(rooms), str(other), "--passages", "3", "--passes", "1,2", "--out", str(tmp_path / "raw.json"))
    result = run(domains, capsys, *asked, *flags(model_folder, f"protocol.name={ridge}"))
    assert list(result["kinds"]) == [rooms.name.split(".")[0], "places_dev"]
    first, second = result["kinds"].values()
    assert first == second, "the same passages have the same figures"
    assert first["questions"] == 3
    assert set(first["arms"]) == {"floor", "context", "memory 1", "wrong 1", "memory 2", "wrong 2"}
    floor, context, memory = (first["arms"][arm]["nll"] for arm in ("floor", "context", "memory 2"))
    assert first["recovery"]["2"] == pytest.approx((floor - memory) / (floor - context))


def test_locality_of_nothing_written_is_perfect(
    rooms: Path,
    model_folder: Path,
    protocol: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "other.txt").write_text(tiny.STORY * 2, encoding="utf-8")
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


def test_many_documents_have_a_row_for_every_count(
    rooms: Path, model_folder: Path, ridge: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.txt").write_text(tiny.STORY * 2, encoding="utf-8")
    asked = ("--data", str(rooms), "--documents", "4", "--at", "1,2", "--text", str(tmp_path / "other.txt"))
    own = flags(model_folder, f"protocol.name={ridge}", "fast_weights.segment_chunks=4")
    result = run(many, capsys, *asked, "--out", str(tmp_path / "raw.json"), *own)
    first, second, last = result["rows"]
    assert [row["documents"] for row in result["rows"]] == [1, 2, 4]
    assert [row["adapters"] for row in result["rows"]] == [1, 2, 4]
    assert first["ways"]["direct"]["oldest"] == first["ways"]["direct"]["newest"] == first["ways"]["direct"]["all"]
    oldest = [row["ways"]["direct"]["oldest"]["nll"] for row in result["rows"]]
    assert oldest == pytest.approx([oldest[0]] * 3, rel=3e-3), "an adapter of its own stays as it is, but for its rounding"
    assert first["bytes"] < second["bytes"] < last["bytes"]
    assert last["bytes_by_part"]["further_adapters"] < 3 * last["bytes_by_part"]["first_adapter"]
    assert last["perplexity"]["ratio"] > 0
    assert all(row["extend"]["fet"] > 0 for row in result["rows"])
    assert 0 <= last["found"] <= 1
    ended = run(many, capsys, *asked, "--minutes", "1e-9", "--out", str(tmp_path / "raw.json"), *own)
    assert [row["documents"] for row in ended["rows"]] == [1], "out of time with the first"
    with pytest.raises(UsageError, match="expected 1, 1 and 2 or more"):
        many.main([*asked, "--questions", "0", "--skip-tests"])
    assert many.Asked(4, 1).of(10) == [0, 3, 6, 9]
    assert many.Asked(10, 1).of(1) == [0]
    with pytest.raises(MissingFileError, match=r"--text nowhere\.txt: no such file"):
        many.main(["--data", str(rooms), "--text", "nowhere.txt", "--skip-tests"])
