"""The allocation benchmark: its documents, its arms on planted tables, and the whole of it on a tiny model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.allocation import run as allocation
from benchmarks.allocation.data import GENERATED, mixed_documents
from benchmarks.allocation.saved import Savings
from benchmarks.allocation.table import Tables
from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.probe.facts import find_facts
from nrem.consolidation.probe.probes import ProbeConfig, held_out_probes
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.models.load import Base, load
from tests import tiny


def count_tokens(text: str) -> int:
    return len(text) // 4


def test_documents_are_mixed_and_what_decides_does_not_score() -> None:
    documents = mixed_documents(None, 4)
    assert documents == mixed_documents(None, 4)
    assert documents != mixed_documents(None, 4, seed=1)
    for document in documents:
        units = document.units(count_tokens, 256, ProbeConfig(), 0)
        assert {*GENERATED} <= {u.kind for u in units}
        assert [u.chunk.index for u in units] == list(range(len(units)))
        for unit in units:
            probes = {(p.question, p.answer) for p in held_out_probes(find_facts(unit.chunk), ProbeConfig())}
            assert not probes & {(q.question, q.answer) for q in unit.scoring}
            if unit.kind == "prose":
                assert not {answer for _, answer in probes} & {q.answer for q in unit.scoring}
        assert document.live(count_tokens, 256, ProbeConfig(), 0).questions


def planted(useful: bool, documents: int = 8) -> Tables:
    """Half of the chunks gain from every pass, half from none; or all gain alike."""
    rng = np.random.default_rng(0)
    deciding: list[Curve] = []
    scoring: list[Curve] = []
    for document in range(documents):
        for chunk in range(8):
            learns = chunk % 2 == 0 or not useful
            gains = (2.0 if learns else 0.0) * np.array([0, 0.4, 0.7, 0.9, 1.0])
            known = {"num_tokens": 100.0, "surprisal": 2.0 + learns, "look_fet": 5.0, "nll_before": 4.0, "recall_before": 0.0}
            for rows in (deciding, scoring):
                nll = tuple(float(x) for x in 4 - gains + rng.normal(0, 0.005, 5))
                rows.append(
                    Curve(
                        document=f"d{document}",
                        chunk=chunk,
                        nll=nll,
                        recall=(0.0,) * 5,
                        pass_fet=100.0,
                        num_probes=3,
                        signals=known,
                        label="dense" if learns else "junk",
                    )
                )
    levels = (0, 1, 2, 3, 4)
    return Tables(CurveTable(levels=levels, curves=tuple(deciding)), CurveTable(levels=levels, curves=tuple(scoring)))


def test_where_difficulty_differs_elimination_beats_uniform_and_the_report_says_so() -> None:
    found = allocation.report(planted(True), SleepConfig())
    for key in ("elimination_minus_uniform", "elimination_minus_shuffled", "headroom_share"):
        assert 0 < found[key]["low"] <= found[key]["mean"] <= found[key]["high"]
    assert found["headroom_share"]["high"] <= 1 + 1e-6
    assert found["verdict"].startswith("elimination beats the same FET spread evenly")
    assert found["budgets"]["1.0"]["elimination"]["passes_by_kind"]["junk"] <= 0.2
    assert found["budgets"]["1.0"]["greedy"]["gate_passed"] == 1.0
    assert found["signals"]["surprisal"]["mean"] > 0.5 > abs(found["signals"]["length"]["mean"] or 0.0)


def test_where_all_chunks_are_alike_nothing_is_won_and_the_report_says_so() -> None:
    found = allocation.report(planted(False), SleepConfig())
    assert found["elimination_minus_uniform"]["mean"] == pytest.approx(0, abs=0.01)
    assert found["budgets"]["1.0"]["elimination_looking"]["minus_uniform"]["mean"] < -0.01  # what looks cost
    assert found["headroom_share"] == {"mean": None, "low": None, "high": None}
    assert "worse than" in found["verdict"] or "does not beat" in found["verdict"]
    assert found["budgets"]["1.0"]["greedy"]["minus_uniform"]["mean"] == pytest.approx(0, abs=0.01)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    allocation.main([*arguments, "--skip-tests", "--json"])
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return result


def test_the_whole_benchmark_and_again_from_its_table(llama: Base, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "model", tmp_path / "raw.json"
    llama.model.save_pretrained(folder)
    llama.tokenizer.save_pretrained(folder)
    base = load(str(folder), dtype="fp32")
    protocol = save_protocol(tmp_path / "protocol", tiny.make_keyed_protocol(base), base.identity, {})
    settings = (f"model.name={folder}", "model.dtype=fp32", f"protocol.name={protocol}", "guard.unrelated_tokens=32")
    small = ("stream.chunk_tokens=600", "stream.window_tokens=1200", "probes.held_out_per_chunk=1", "answer.max_new_tokens=2")
    flags = [word for setting in (*settings, *small) for word in ("--set", setting)]
    found = run(capsys, "--documents", "3", "--limit", "2", "--max-passes", "2", "--live", "1", "--out", str(out), *flags)
    assert found["documents"] == 2
    assert found["budget_passes"] == 0.5
    assert set(found["live"]["uniform"]) == {"0", "1"}
    table = Tables.load(out.with_suffix(".table.json"))
    assert table.deciding.levels == (0, 1, 2)
    assert all(c.pass_fet > 0 for c in table.deciding.curves)
    assert {"num_tokens", "surprisal", "surprisal_median", "context_gap", "look_fet"} <= table.deciding.curves[0].signals.keys()
    again = run(capsys, "--table", str(out.with_suffix(".table.json")), "--out", str(tmp_path / "again.json"))
    assert again["budgets"] == found["budgets"]


def test_wrong_flags_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--live: needs the model"):
        allocation.main(["--table", "x.json", "--live", "1"])
    with pytest.raises(UsageError, match="--documents and --max-passes"):
        allocation.main(["--documents", "0"])
    bad = tmp_path / "bad.json"
    bad.write_text("{}", encoding="utf-8")
    with pytest.raises(MemoryFolderError, match=r"bad\.json: not a table of benchmarks\.allocation"):
        allocation.main(["--table", str(bad), "--skip-tests"])


def test_a_chunk_that_nothing_scores_is_paid_for_but_not_counted() -> None:
    tables = planted(True, documents=3)
    blind = tuple(replace(c, num_probes=0, nll=(0.0,) * 5) if c.chunk == 1 else c for c in tables.scoring.curves)
    found = allocation.report(Tables(tables.deciding, replace(tables.scoring, curves=blind)), SleepConfig())
    whole = allocation.report(tables, SleepConfig())
    assert found["budgets"]["1.0"]["elimination"]["fet"] == whole["budgets"]["1.0"]["elimination"]["fet"]
    assert found["budgets"]["1.0"]["elimination"]["gain"] > whole["budgets"]["1.0"]["elimination"]["gain"]


def test_what_is_saved_is_told_against_the_fixed_number_of_passes_that_gains_as_much() -> None:
    """Two chunks, of which only one learns: whoever passes over that one alone gains as much for half of the FET."""
    curves = ((3.0, 2.0, 1.0), (3.0, 3.0, 3.0))
    learns, idle = (Curve(document="d", chunk=i, nll=nll, recall=(0.0,) * 3, pass_fet=10.0, num_probes=1) for i, nll in enumerate(curves))
    found = Savings()
    found.add([learns, idle], [2.0, 0.0], 20.0)
    assert found.report() == {"mean": 0.5, "low": 0.5, "high": 0.5}
    found.add([learns, idle], [1.0, 0.0], 40.0)  # 3 nats in all cost 60 FET here, and 60 evenly
    assert found.report()["mean"] == pytest.approx(0.0)
    nothing = Savings()
    nothing.add([learns, idle], [0.0, 0.0], 0.0)
    assert nothing.report()["mean"] == 0.0
    beyond = Savings()
    beyond.add([learns, idle], [2.5, 0.0], 20.0)  # no fixed number gains as much: against the best, for 40
    assert beyond.report()["mean"] == 0.5
