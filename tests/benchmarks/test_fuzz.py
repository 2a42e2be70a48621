"""Whatever is read from outside is a good value or one sentence: a few dozen drawn inputs of every kind, the same ones each time."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reliability import fuzz, guided
from benchmarks.reliability.properties import PROPERTIES
from benchmarks.reliability.property import Property, outcome
from nrem.memory.errors import DocumentError, NremError


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.parametrize("name", PROPERTIES)
def test_a_good_value_or_one_sentence(name: str, tmp_path: Path) -> None:
    one = PROPERTIES[name]

    @settings(max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(one.drawn)
    def holds(drawn: Any) -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        outcome(one, folder, drawn)
        shutil.rmtree(folder)

    holds()


def _fail(drawn: int) -> None:
    if drawn > 20:
        raise KeyError(drawn)
    if drawn > 10:
        raise DocumentError("d: too large; give less")


def test_what_is_wrong_is_counted_and_shrunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A benchmark that could find nothing finds nothing."""
    monkeypatch.setitem(PROPERTIES, "toy", Property(st.integers(0, 1000), lambda folder, drawn: _fail(drawn)))
    out = tmp_path / "fuzz.json"
    fuzz.main(["--skip-tests", "--only", "toy", "--only", "flags", "--examples", "30", "--out", str(out), "--json"])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["total"]["faults"] == 1
    flags = printed["properties"]["flags"]
    assert (flags["examples"], flags["good"] + flags["refused"], flags["faults"]) == (30, 30, 0)
    (fault,) = json.loads(out.read_text(encoding="utf-8"))["faults"]["toy"]
    assert fault.startswith("KeyError: 21; ")
    assert "drawn=21" in fault


@pytest.mark.parametrize("words", ["", "x" * 3000])
def test_a_refusal_is_one_sentence(words: str, tmp_path: Path) -> None:
    def refuse(folder: Path, drawn: object) -> None:
        raise DocumentError(words)

    with pytest.raises(AssertionError, match="a refusal"):
        outcome(Property(st.none(), refuse), tmp_path, None)


def test_no_end_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.reliability.property.SECONDS", 0.2)

    def wait(folder: Path, drawn: object) -> None:
        while True:
            pass

    with pytest.raises(TimeoutError, match="it took more than"):
        outcome(Property(st.none(), wait), tmp_path, None)


def test_without_atheris_guided_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NremError, match="atheris is not installed: pip install atheris, or draw by chance"):
        guided.main(["--skip-tests"])


def test_guided_inputs_reach_code_and_end(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install atheris")
    row, fault = guided.in_a_process("ceiling.json", 1)
    assert (row["faults"], fault) == (0, "")
    assert row["inputs"] > 10
    assert row["reached"] > 10
