"""`nrem tune` as a user meets it: a table and a recommendation, one JSON object, a folder that is neither lost nor overwritten."""

import builtins
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nrem.memory.saved.lock import one_writer
from tests.cli import Shell

TUNE = ("tune", "story.md", "--questions", "qa.jsonl", "--config", "tiny.toml", "-o", "run")
ROWS = [
    {"id": "1", "question": "Who kept the lighthouse?", "answers": ["Maren Tull"]},
    {"id": "2", "question": "When did the harbour freeze?", "answers": ["12 January 1858"]},
]


@pytest.fixture(autouse=True)
def questions(shell: Shell) -> Path:
    """Two questions about the story."""
    path = shell.folder / "qa.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_prints_a_table_and_what_to_do(shell: Shell) -> None:
    done = shell(*TUNE, "--passes", "0,1,2", "--expected-questions", "9")
    assert done.code == 0
    for part in ("0 passes", "1 pass ", "2 passes", "document in the prompt", "FET for 9 questions", "use it: "):
        assert part in done.out
    assert "asking 2 questions: 2 passes" in done.err
    assert files(shell.folder / "run") == {"config.toml", "plot.png", "result.json", "bank.jsonl"}


def test_wordings_come_from_a_file(shell: Shell) -> None:
    (shell.folder / "wordings.txt").write_text("# in other words\n\nIn short: {question}\n", encoding="utf-8")
    done = shell(*TUNE, "--passes", "1", "--prompts", "wordings.txt")
    assert done.code == 0
    assert "wording 2: In short: {question}" in done.out
    assert "another wording" in done.out
    (shell.folder / "wordings.txt").write_text("In short:\n", encoding="utf-8")
    done = shell(*TUNE, "--passes", "1", "--prompts", "wordings.txt", "--force")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "nrem: --prompts wordings.txt line 1: got the wording 'In short:', expected {question} in it once, where the question goes\n"
    )


def test_json_is_one_object_and_quiet_says_nothing(shell: Shell) -> None:
    done = shell(*TUNE, "--passes", "0,1", "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found.keys() == {"run", "rows", "recommendation", "verdicts", "searched", "answers_share", "wish", "about"}
    assert [row["passes"] for row in found["rows"]] == [0, 0, 1, 1, None]
    assert {key: found[key] for key in found if key != "run"} == json.loads(
        (shell.folder / "run" / "result.json").read_text(encoding="utf-8")
    )


def test_sleep_takes_the_configuration(shell: Shell) -> None:
    found = json.loads(shell(*TUNE, "--passes", "1", "--json").out)
    figures = json.loads(shell("sleep", "story.md", "--config", "run/config.toml", "-o", "m", "--json").out)
    assert figures["passes"] == found["recommendation"]["passes"]


def test_an_older_run_is_kept_unless_told_otherwise(shell: Shell) -> None:
    assert shell(*TUNE, "--passes", "1").code == 0
    before = (shell.folder / "run" / "bank.jsonl").read_bytes()
    done = shell(*TUNE, "--passes", "1")
    assert (done.code, done.out) == (2, "")
    assert "nrem: run: a tuning run is already there; go on with --resume, or start again with --force" in done.err
    done = shell(*TUNE, "--passes", "1", "--resume", "--price", "5k")
    assert (done.code, done.err) == (0, "")
    assert "at 5,000 FET a point" in done.out
    assert (shell.folder / "run" / "bank.jsonl").read_bytes() == before
    done = shell(*TUNE, "--passes", "1,2", "--resume")
    assert done.code == 2
    assert "the run there has other passes" in done.err
    assert shell(*TUNE, "--passes", "1,2", "--force").code == 0
    assert (shell.folder / "run" / "bank.jsonl").read_bytes() != before


@pytest.mark.parametrize(
    ("document", "asked", "model"),
    [("stroy.md", "qa.jsonl", ""), ("story.md", "none.jsonl", ""), ("story.md", "story.md", ""), ("story.md", "qa.jsonl", "./no-model")],
)
def test_an_older_run_goes_only_when_a_new_one_can_begin(shell: Shell, document: str, asked: str, model: str) -> None:
    assert shell(*TUNE, "--passes", "1").code == 0
    before = {path: path.read_bytes() for path in (shell.folder / "run").iterdir()}
    flags = ("--model", model) if model else ()
    done = shell("tune", document, "--questions", asked, "--config", "tiny.toml", "-o", "run", "--passes", "1", "--force", *flags)
    assert done.code in (1, 2)
    assert len(done.err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in (shell.folder / "run").iterdir()} == before


def test_through_a_link_the_run_is_replaced_and_the_link_stays(shell: Shell) -> None:
    (shell.folder / "elsewhere").mkdir()
    (shell.folder / "run").symlink_to("elsewhere")
    assert shell(*TUNE, "--passes", "1").code == 0
    assert shell(*TUNE, "--passes", "1,2", "--force").code == 0
    assert (shell.folder / "run").is_symlink()
    assert files(shell.folder / "elsewhere") == {"config.toml", "plot.png", "result.json", "bank.jsonl"}


def test_one_process_tunes_in_a_folder(shell: Shell) -> None:
    assert shell(*TUNE, "--passes", "1").code == 0
    before = (shell.folder / "run" / "bank.jsonl").read_bytes()
    with one_writer(shell.folder / "run", "somebody else"):
        process = subprocess.run((sys.executable, "-m", "nrem", *TUNE, "--force"), cwd=shell.folder, capture_output=True, encoding="utf-8")
    assert process.returncode == 1
    assert "run: somebody else (process" in process.stderr
    assert (shell.folder / "run" / "bank.jsonl").read_bytes() == before


def test_a_name_with_two_dollars_is_no_formula(shell: Shell) -> None:
    (shell.folder / "story.md").rename(shell.folder / "price_$_per_$_unit.md")
    done = shell("tune", "price_$_per_$_unit.md", *TUNE[2:], "--passes", "1")
    assert done.code == 0
    assert (shell.folder / "run" / "plot.png").exists()


def test_a_killed_run_resumes(shell: Shell) -> None:
    """Killed as soon as a level of the sleep is on disk; what was measured until then is not measured again."""
    argv = (sys.executable, "-m", "nrem", *TUNE, "--passes", "4,60", "--quiet")
    process = subprocess.Popen(argv, cwd=shell.folder, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
    kept, deadline = shell.folder / "run" / "unfinished" / "0060" / "levels" / "0004" / "sleep-0000", time.monotonic() + 300
    while not kept.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed: {err.decode()}"
    done = shell(*TUNE, "--passes", "4,60", "--resume")
    assert done.code == 0
    said = [line for line in done.err.splitlines() if line.startswith("asking")]
    asked = ("4 passes, ensemble", "4 passes", "60 passes, ensemble", "60 passes")
    assert said == [f"asking 2 questions: {name}" for name in asked]


def test_without_matplotlib_the_picture_is_left_out(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    done = shell(*TUNE, "--passes", "1")
    monkeypatch.undo()
    assert done.code == 0
    assert "plot.png was not drawn, matplotlib is missing: pip install 'nrem[plot]'" in done.err
    assert files(shell.folder / "run") == {"config.toml", "result.json", "bank.jsonl"}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--passes", "a"), "nrem: --passes: got 'a', expected whole numbers from 0, such as 0,1,2,4,8"),
        (("--passes", "0"), "nrem: --passes: got 0, expected whole numbers from 0, one above it, such as 0,1,2,4,8"),
        (("--search", "a"), "nrem: --search: got 'a', expected whole numbers from 0"),
        (("--ways", "guess"), "nrem: way: got 'guess', expected auto, router or one of"),
        (("--share", "2"), "nrem: --share: got 2, expected a number above 0 and at most 1"),
        (("--prompts", "no.txt"), "nrem: --prompts no.txt: no such file"),
        (("--price", "90s"), "nrem: --price: got '90s', expected a number above 0 of FET for a point of F1, such as 40kFET"),
        (("--budget", "lots"), "nrem: --budget: got 'lots', expected a number above 0"),
        (("--budget", "9k", "--price", "9k"), "nrem: --price and --budget: got both, expected one of them"),
        (("--expected-questions", "0"), "nrem: Invalid value for '--expected-questions'"),
        (("--questions", "no.jsonl"), "nrem: no.jsonl: no such file"),
        (("-o", "story.md"), "nrem: story.md: exists and is not a tuning run"),
        (("-o", "."), "is no part of one); choose another name"),
    ],
)
def test_every_mistake_gets_its_sentence(shell: Shell, argv: tuple[str, ...], sentence: str) -> None:
    done = shell(*TUNE, *argv)
    assert sentence in done.err
    assert len(done.err.splitlines()) == 1
    assert (done.code, done.out) == (2, "")
    assert not (shell.folder / "run").exists()
