"""The ceiling: planted curves get their verdicts, a measured one is kept by model and protocol, and later sleeps obey it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.folder import CEILING, CONFIDENCE, CURVES, find_protocol, save_protocol
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.measure.ceiling import measure_ceiling
from nrem.runtime.models.load import Base
from nrem.runtime.parts import calibration_folder, make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate
from nrem.runtime.session.job import about_depth
from nrem.runtime.session.session import Session
from tests import cli, tiny

LEVELS = (0, 1, 2, 4)
CALIBRATED = Confidence(intercept=-1.0, slope=2.0, passes=1, asked="probes", pairs=40, base_rate=0.3, brier_before=0.4, brier_after=0.2)


def planted(*steps: float, control: tuple[float, ...] = (), count: int = 24, documents: int = 12) -> CurveTable:
    """Curves whose steps gain so much, with noise; documents share a part of it."""
    rng = np.random.default_rng(1)
    curves = []
    for number in range(count):
        nll = 3.0 - np.concatenate([[0.0], np.cumsum(np.array(steps) + 0.05 * rng.standard_normal(len(steps)))])
        curves.append(
            Curve(
                document=f"d{number % documents}",
                chunk=number,
                nll=tuple(nll.tolist()),
                recall=(0.0,) * len(LEVELS),
                pass_fet=100.0,
                num_probes=3,
                control=control,
            )
        )
    return CurveTable(levels=LEVELS, curves=tuple(curves))


@pytest.mark.parametrize(
    ("table", "verdict", "n_star"),
    [
        (planted(1.0, 0.3, 0.2), "productive", 4),
        (planted(1.0, 0.3, 0.0), "productive", 2),
        (planted(1.0, -0.3, 0.5), "productive", 1),
        (planted(0.0, 0.0, 0.5), "saturated", 0),
        (planted(-0.5, 0.5, 0.0), "harmful", 0),
        (planted(1.0, 0.3, 0.0, control=(3.0, 2.0, 1.7, 1.7)), "saturated", 0),  # the manner of answering, and nothing else
        (planted(1.0, 0.3, 0.0, control=(3.0, 4.0, 4.0, 4.0)), "productive", 2),  # harm to other questions is no gain
    ],
)
def test_planted_curves_get_their_verdict(table: CurveTable, verdict: str, n_star: int) -> None:
    found = Ceiling.of(table)
    assert (found.verdict, found.n_star, found.resampled) == (verdict, n_star, "documents")
    assert all(gain.low <= gain.mean <= gain.high for gain in found.gains)
    assert Ceiling.from_json(found.to_json(), "here") == found
    assert CurveTable.from_json(table.to_json(), "here") == table


def test_few_documents_are_resampled_by_chunk() -> None:
    assert Ceiling.of(planted(1.0, 0.3, 0.2, documents=2)).resampled == "chunks"


def test_what_is_not_a_ceiling_is_refused() -> None:
    with pytest.raises(MemoryFolderError, match="here: not a ceiling"):
        Ceiling.from_json("{}", "here")
    with pytest.raises(MemoryFolderError, match="here: not a table of curves"):
        CurveTable.from_json("[]", "here")


def test_auto_goes_no_deeper_and_a_number_is_taken_at_its_word() -> None:
    assert SleepConfig().resolved(4, 2).passes == 2
    assert SleepConfig().resolved(4, 8).passes == 4
    assert SleepConfig().resolved(0, 0).passes == 0
    assert SleepConfig(passes=8).resolved(4, 2).passes == 8


@pytest.mark.parametrize("rule", ["keyed", "gradient"])
def test_a_ceiling_is_measured_kept_and_obeyed(llama: Base, rule: str, tmp_path: Path) -> None:
    name = "untrained"
    if rule == "keyed":
        name = str(save_protocol(tmp_path / "tiny", tiny.make_keyed_protocol(llama), llama.identity, {}))
    config = tiny.make_config(f"protocol.name={name}", "sleep.passes=auto", "sleep.allocator=uniform")
    documents = [Document.from_text(tiny.STORY, "story"), Document.from_text(tiny.STORY.replace("Orrin", "Tarn"), "other")]
    seen: list[object] = []
    measured = measure_ceiling(llama, config, documents, (0, 1, 3), seen.append)
    assert seen
    assert {c.document for c in measured.table.curves} == {"story", "other"}
    assert all(len(c.control) == 3 and c.pass_fet > 0 for c in measured.table.curves)
    for curve in measured.table.curves:  # nothing is written at level 0, so all chunks with one control find the same
        assert curve.control[0] in {c.control[0] for c in measured.table.curves if c.chunk % 4 == curve.chunk % 4}
    folder = calibration_folder(llama, measured.protocol)
    replace(measured, ceiling=replace(measured.ceiling, n_star=1)).save(folder)
    protocol = make_protocol(llama, config)
    assert protocol.ceiling is not None
    assert protocol.curves == measured.table
    memory = consolidate(Document.from_text(tiny.STORY), base=llama, config=config)
    assert max(c.passes for c in memory.record.chunks) == 1
    assert about_depth(Session(base=llama, config=config)) == ""
    deeper = replace(config, sleep=replace(config.sleep, passes=2))
    assert "2 passes are asked for; they were measured to pay up to 1" in about_depth(Session(base=llama, config=deeper))
    replace(measured, ceiling=replace(measured.ceiling, n_star=0, verdict="saturated")).save(folder)
    assert "saturated: passes do not pay here" in about_depth(Session(base=llama, config=config))


def test_a_protocols_folder_may_hold_its_ceiling(llama: Base, tmp_path: Path) -> None:
    folder = save_protocol(tmp_path / "tiny", tiny.make_keyed_protocol(llama), llama.identity, {})
    device = llama.model.device
    assert find_protocol(str(folder), llama.tokenizer, llama.identity, device).ceiling is None
    table = planted(1.0, 0.3, 0.0)
    (folder / CURVES).write_text(table.to_json(), encoding="utf-8")
    (folder / CEILING).write_text(Ceiling.of(table).to_json(), encoding="utf-8")
    (folder / CONFIDENCE).write_text(CALIBRATED.to_json(), encoding="utf-8")
    found = find_protocol(str(folder), llama.tokenizer, llama.identity, device)
    assert found.ceiling == Ceiling.of(table)
    assert found.curves == table
    assert found.confidence == CALIBRATED


def test_levels_must_rise_from_nothing(llama: Base) -> None:
    for levels in ((1, 2), (0, 2, 1), (0,)):
        with pytest.raises(UsageError, match="expected rising numbers from 0"):
            measure_ceiling(llama, tiny.make_config(), [Document.from_text(tiny.STORY)], levels, lambda event: None)


def test_the_command_prints_a_verdict_and_keeps_it(shell: cli.Shell) -> None:
    done = shell("ceiling", "story.md", "--passes", "0,1,2", "--config", "tiny.toml", "--quiet")
    assert done.code == 0
    assert any(verdict in done.out for verdict in ("productive", "saturated", "harmful"))
    assert "confidence: not calibrated, too few answers" in done.out
    kept = shell("ceiling", "story.md", "--passes", "0,1", "--config", "tiny.toml", "--json", "--quiet", "-o", "kept")
    assert json.loads(kept.out)["levels"] == [0, 1]
    assert json.loads(kept.out)["confidence"] is None
    assert sorted(path.name for path in (shell.folder / "kept").iterdir()) == [CEILING, CURVES]
    wrong = shell("ceiling", "story.md", "--passes", "0,x", "--config", "tiny.toml")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "--passes: got '0,x'" in wrong.err
    missing = shell("ceiling", "story.md", "--questions", "none.jsonl", "--config", "tiny.toml")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert "none.jsonl: no such file" in missing.err
