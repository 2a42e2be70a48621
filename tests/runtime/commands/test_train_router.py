"""`nrem train-router` as a user meets it, at sizes that take seconds."""

import json

import pytest

from tests.cli import Shell

TINY = {"values": 3, "moves": 1, "slots": 2, "hidden": 16, "heads": 2, "warm_up_steps": 10, "warm_up_batch": 8, "steps": 3}
TINY |= {"questions": 4, "group": 4, "measured": 5}
TRAIN = ("train-router", "-o", "run", *(part for key, value in TINY.items() for part in ("--set", f"{key}={value}")))


def test_it_shows_progress_and_ends_with_the_tables(shell: Shell) -> None:
    done = shell(*TRAIN, "--price", "0.1,0.5", "--seeds", "2")
    assert done.code == 0
    assert "seed 1, warm-up, step 10 of 10: answer NLL thinking" in done.err
    assert "seed 1, DeGRPO, step 3 of 3: mean reward" in done.err
    for part in ("mean of 2 seeds", "1 hop ", "2 hops", "thinks at price 0.1", "thinks at price 0.5", "random mixture", "over mixture"):
        assert part in done.out
    assert {path.name for path in (shell.folder / "run").iterdir()} == {"run.json", "result.json", "seed-0", "seed-1"}
    assert {path.name for path in (shell.folder / "run" / "seed-0").iterdir()} == {"warm-up", "model"}


def test_json_is_one_object_and_single_outcomes_are_kept(shell: Shell) -> None:
    done = shell(*TRAIN, "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert [at["price"] for at in found["mean"]] == [0.1, 0.5, 1.0, 1.5]
    kept = json.loads((shell.folder / "run" / "result.json").read_text(encoding="utf-8"))
    assert kept["mean"] == found["mean"]
    assert [len(at["think_per_mille"].split()) for at in kept["outcomes"][0]["at"]] == [10] * 4


def test_the_same_seed_gives_the_same_and_a_finished_run_is_not_trained_again(shell: Shell) -> None:
    first = json.loads(shell(*TRAIN, "--json").out)
    again = shell(*TRAIN, "--json", "--resume")
    assert again.err == ""
    assert json.loads(again.out) == first
    anew = json.loads(shell(*TRAIN, "--json", "--force").out)
    assert anew["mean"] == first["mean"]


def test_what_is_gone_on_with_is_not_thrown_away(shell: Shell) -> None:
    """The command of an interrupted run with --resume behind it, as it is advised, --force and all."""
    first = json.loads(shell(*TRAIN, "--json", "--force").out)
    kept = {path: path.stat().st_mtime_ns for path in (shell.folder / "run").rglob("model.safetensors")}
    assert kept
    again = shell(*TRAIN, "--json", "--force", "--resume")
    assert json.loads(again.out) == first
    assert {path: path.stat().st_mtime_ns for path in (shell.folder / "run").rglob("model.safetensors")} == kept


def test_through_a_link_a_run_is_replaced(shell: Shell) -> None:
    (shell.folder / "elsewhere").mkdir()
    (shell.folder / "run").symlink_to("elsewhere")
    assert shell(*TRAIN).code == 0
    assert shell(*TRAIN, "--force").code == 0
    assert (shell.folder / "elsewhere" / "result.json").exists()


def test_an_older_run_and_a_foreign_folder_are_kept(shell: Shell) -> None:
    assert shell(*TRAIN).code == 0
    done = shell(*TRAIN)
    assert (done.code, done.out) == (2, "")
    assert "nrem: run: a router's run is already there; go on with --resume, or start again with --force" in done.err
    done = shell(*TRAIN, "--resume", "--price", "0.3")
    assert done.code == 2
    assert "the run there has other prices or settings" in done.err
    done = shell("train-router", "-o", ".")
    assert done.code == 2
    assert "exists and is not a router's run" in done.err
    assert (shell.folder / "story.md").exists()


def test_a_run_that_was_cut_off_says_so(shell: Shell) -> None:
    done = shell(*TRAIN, "--minutes", "0.00001")
    assert done.code == 0
    assert "seed 0 ran out of minutes after 1 steps of warm-up and 0 of DeGRPO; give more --minutes, with --force" in done.out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--price", "2"), "--price: got '2', expected different numbers from 0 to below 2"),
        (("--price", "0.5,0.5"), "--price: got '0.5,0.5', expected different numbers"),
        (("--price", "cheap"), "--price: got 'cheap', expected numbers"),
        (("--price", "nan"), "--price: got 'nan', expected different numbers"),
        (("--minutes", "0"), "--minutes: got 0, expected a finite number, more than 0"),
        (("--set", "gruop=4"), "--set gruop=4: unknown key gruop; did you mean group?"),
        (("--set", "group=1"), "--set group=1: group: got 1, expected 2 or more"),
        (("--set", "hidden=30"), "--set hidden=30: hidden: got 30, expected a multiple of twice heads, 8"),
        (("--set", "hidden=0"), "hidden: got 0, expected 2 or more"),
        (("--set", "seed=12345678901234567"), "seed: got 12345678901234567, expected 0 to 4294967295"),
        (("--set", "warm_up_steps=-3"), "warm_up_steps: got -3, expected 1 or more"),
        (("--set", "step_size=0"), "step_size: got 0, expected a finite number, above 0"),
        (("--set", "forced_share=0.6"), "forced_share: got 0.6, expected 0 to 0.5"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_and_leaves_nothing(flags: tuple[str, ...], sentence: str, shell: Shell) -> None:
    done = shell("train-router", "-o", "run", *flags)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (shell.folder / "run").exists()
