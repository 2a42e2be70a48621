"""The picture of passes: means over the documents that both results hold, and refusals. No model."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import passes as depth
from nrem.memory.errors import MissingFileError, UsageError


def save(path: Path, nlls: dict[tuple[str, str, str], list[float]], protocol: str, **more: Any) -> Path:
    """A result as closed_book leaves it, answer NLLs by (level, arm, document)."""
    rows = [{"level": level, "arm": arm, "document": d, "nll": x} for (level, arm, d), values in nlls.items() for x in values]
    levels = dict.fromkeys(level for level, _, _ in nlls)
    path.write_text(
        json.dumps({"benchmark": "closed_book", "protocol": protocol, "levels": levels, "outcomes": rows} | more), encoding="utf-8"
    )
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    nlls = {
        ("1", "floor", "a"): [4.0, 2.0],
        ("1", "memory", "a"): [2.0, 1.0],
        ("2", "memory", "a"): [1.5, 0.5],
        ("1", "context", "a"): [1.0, 0.5],
        ("1", "floor", "b"): [3.0],
        ("1", "memory", "b"): [3.0],
        ("2", "memory", "b"): [1.0],
        ("1", "context", "b"): [0.0],
        ("1", "floor", "only here"): [99.0],
        ("2", "memory", "only here"): [99.0],
    }
    return save(tmp_path / "trained.json", nlls, "smollm2-135m")


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    nlls = {("8", arm, d): [5.0] for arm in ("floor", "memory") for d in ("a", "b")}
    return save(tmp_path / "untrained.json", nlls, "untrained")


def test_means_are_over_the_questions_of_the_documents_in_both(
    trained: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = depth.depth(depth.read(trained), {"a", "b"})
    assert {level: round(mean, 6) for level, (mean, _, _) in curve.levels.items()} == {0: 3.0, 1: 2.0, 2: 1.0}
    assert all(low <= mean <= high for mean, low, high in curve.levels.values())
    assert curve.levels[0][1:] == pytest.approx((3.0, 3.0))  # both documents have the same mean
    assert curve.context == pytest.approx(0.5)
    depth.main([str(trained), str(untrained), "--picture", str(tmp_path / "passes.png")])
    assert "2 documents" in capsys.readouterr().out
    assert (tmp_path / "passes.png").read_bytes()[1:4] == b"PNG"


def test_other_files_are_refused(trained: Path, untrained: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none.json: no such file"):
        depth.main([str(trained), str(tmp_path / "none.json")])
    for more in ({"benchmark": "locality"}, {"levels": {"configured": 1}}):
        other = save(tmp_path / "other.json", {("1", "floor", "a"): [1.0]}, "x", **more)
        with pytest.raises(UsageError, match=r"other.json: expected a result of benchmarks.closed_book"):
            depth.main([str(trained), str(other)])
    elsewhere = save(tmp_path / "elsewhere.json", {("1", "floor", "z"): [1.0]}, "x")
    with pytest.raises(UsageError, match="has no document of"):
        depth.main([str(trained), str(elsewhere)])
