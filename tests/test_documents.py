"""The documents say what is so: their commands are real ones, and numbers that name a record are in it."""

import json
from pathlib import Path

import pytest

from tests.documents import FILES, agrees, command_problem, commands_in, number_problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_in_the_documents_is_one(path: Path) -> None:
    found = commands_in(path.read_text(encoding="utf-8"))
    assert [problem for words, whole in found if (problem := command_problem(words, whole=whole))] == []
    if path.name == "README.md":
        assert sum(words[0] == "nrem" and whole for words, whole in found) >= 3


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_number_that_names_its_record_is_in_it(path: Path) -> None:
    assert list(number_problems(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nrem sleep report.md -o memories/report", ""),
        ("$ nrem sleep a.md \\\n    b.md -o m --set sleep.passes=2 --config fast   # both", ""),
        ("cat q.txt | nrem ask m -", ""),
        ("python -m nrem ask m Who?", ""),
        ("make test", ""),
        ("python -m benchmarks.capacity --json", ""),
        ("nrem sleep report.md", "Missing option"),
        ("nrem slep report.md -o m", "no command slep"),
        ("nrem sleep report.md -o m --pases 3", "--pases"),
        ("nrem sleep report.md -o m --passes many", "many"),
        ("nrem sleep report.md -o m --set sleep.pases=3", "unknown key sleep.pases"),
        ("nrem sleep report.md -o m --config slow", "no such preset"),
        ("make tests", "no target tests"),
        ("python -m benchmarks.depth", "no such module"),
        ("python -m benchmarks.capacity --deep", "no flag --deep"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, problem: str) -> None:
    [(words, whole)] = commands_in(f"Text.\n\n```sh\n{line}\n```\n")
    assert whole
    said = command_problem(words, whole=whole)
    assert problem in said
    assert bool(said) == bool(problem)


def test_a_command_within_a_sentence_may_be_cut() -> None:
    [(words, whole)] = commands_in("Give `nrem sleep --passes N`, but not `--pases`.")
    assert (words, whole, command_problem(words, whole=whole)) == (["nrem", "sleep", "--passes", "N"], False, "")
    [(words, whole)] = commands_in("Give `nrem sleep --pases N`.")
    assert "no flag --pases" in command_problem(words, whole=whole)


RECORD = {"gain": {"mean": 0.5149, "by 0.5": {"low": -0.25}}, "fet": [11873, 20], "name": "x"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("It is 0.51 nats, 51 % of all.\n<!-- numbers: r.json gain.mean=0.51, gain.mean=51 % -->", ""),
        ("| a | 11,873 | -0.25 |\n\n<!-- numbers: r.json fet.0=11,873,\n  gain.by 0.5.low=-0.25 -->", ""),
        ("About 11,900 and 0.51.\n<!-- numbers: r.json fet.0=~11,900 -->\n<!-- numbers: r.json gain.mean=0.51 -->", ""),
        ("It is 0.52 nats.\n<!-- numbers: r.json gain.mean=0.52 -->", "gain.mean is 0.5149, the document says 0.52"),
        ("It is 0.61 nats.\n<!-- numbers: r.json gain.mean=0.51 -->", "does not stand in the paragraph before"),
        ("It is 0.515 nats.\n<!-- numbers: r.json gain.mean=0.51 -->", "does not stand in the paragraph before"),
        ("It is 0.51 nats.\n\nMore.\n<!-- numbers: r.json gain.mean=0.51 -->", "does not stand in the paragraph before"),
        ("It is 11,900.\n<!-- numbers: r.json fet.0=11,900 -->", "fet.0 is 11873, the document says 11,900"),
        ("It is 1.\n<!-- numbers: r.json fet.7=1 -->", "no fet.7"),
        ("It is 1.\n<!-- numbers: r.json name=1 -->", "name is x, the document says 1"),
        ("It is 1.\n<!-- numbers: gone.json a=1 -->", "gone.json: no record"),
        ("It is 1.\n<!-- numbers: r.json fet -->", "expected path.to.key=NUMBER, got 'fet'"),
    ],
)
def test_a_wrong_number_is_noticed(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(RECORD), encoding="utf-8")
    found = list(number_problems(text, tmp_path))
    assert len(found) == bool(problem), found
    assert problem in "".join(found)


def test_digits_that_are_shown_count() -> None:
    assert [agrees(0.5149, shown) for shown in ("0.51", "0.515", "0.5", "51 %", "51.5 %", "0.514")] == [True] * 5 + [False]
