"""The command line as a user meets it: which flags there are, what goes to stdout, what to stderr, and with which exit code."""

import io
import json
import sys
from typing import Any

import pytest
import typer.main

from nrem.memory.saved.record_file import OWN_HASH, own_hash
from nrem.runtime.commands.main import COMMANDS, make_app
from tests import tiny
from tests.cli import SLEEP, Shell

FLAGS = {
    "sleep": "--out -o --passes --dreams --budget --model --config --set --resume --force --forget-text --encoding --json --quiet -q",
    "ask": "--way --why --config --model --set --json",
    "chat": "--way --config --model --set",
    "ls": "--json",
    "show": "--plot --dreams --json",
    "verify": "--model --json",
    "eval": "--questions --arms --wrong --model --json",
    "rm": "--yes -y",
    "extend": "--out -o --budget --model --json --quiet -q",
    "merge": "--out -o --json",
    "forget": "--chunk --out -o --json",
    "demo": "--out -o --passes --dreams --model --config --set --force --json --quiet -q",
    "doctor": "--json",
    "ceiling": "--passes --questions --out -o --model --config --set --json --quiet -q",
    "tune": "--questions --out -o --passes --ways --search --votes --think --prompts --range --trials --share --price --budget "
    "--expected-questions --model --config --set --resume --force --json --quiet -q",
    "scaling": "--expected-questions --picture --json",
    "calibrate": "--questions --ways --model --set --json --quiet -q",
    "train-protocol": "--data --out -o --minutes --rule --max-passes --order --model --held-out --from --set --resume --smoke --json",
    "train-asker": "--data --minutes --model --held-out --from --set --resume --json",
    "train-router": "--out -o --price --seeds --minutes --set --resume --force --json --quiet -q",
}
"""Every command and flag. A change here is a change for everybody who calls nrem from a script."""


def test_commands_and_flags_are_these() -> None:
    command: Any = typer.main.get_command(make_app(COMMANDS))
    found = {name: [flag for p in c.params if p.param_type_name == "option" for flag in p.opts] for name, c in command.commands.items()}
    assert {name: set(flags) - {"--help", "-h"} for name, flags in found.items()} == {
        name: set(text.split()) for name, text in FLAGS.items()
    }


@pytest.mark.parametrize("command", ["", *FLAGS])
def test_every_help_can_be_read(shell: Shell, command: str) -> None:
    done = shell(*command.split(), "--help")
    assert done.code == 0
    assert "Usage: nrem" in done.out
    assert done.err == ""


def test_the_version(shell: Shell) -> None:
    from nrem import __version__

    assert shell("--version").out == f"nrem {__version__}\n"


# -- sleep ----------------------------------------------------------------------------------------------------------------------


def test_sleep_ends_with_one_json_object(shell: Shell) -> None:
    done = shell(*SLEEP, "m", "--json")
    figures = json.loads(done.out)
    wanted = {"memory", "tokens", "chunks", "sleeps", "passes", "fet", "seconds", "recall_before", "recall_after", "exits"}
    assert wanted <= figures.keys()
    assert figures["memory"] == "m"
    assert sum(figures["exits"].values()) == figures["chunks"]
    assert [line.split()[0] for line in done.err.splitlines()] == ["loading", "read"], "no terminal: two lines"
    assert f"wrote {figures['chunks_written']} of {figures['chunks']} chunks in {figures['sleeps']} sleep" in done.err


def test_sleep_shows_people_the_night_and_tells_them_what_moved_first(shell: Shell) -> None:
    done = shell(*SLEEP, "m", "--quiet")
    lines = done.out.splitlines()
    assert [line.split(" ")[0] for line in lines[:3]] == ["passes", "before", "after"]
    assert [line.split(" ")[0] for line in lines[4:]] == ["right", "said", "m:", "ask"]
    assert "answer NLL" in lines[4]
    assert "FET (1 FET (forward-equivalent token) is what one token through the base model costs)" in lines[6]
    assert 'nrem ask m "..."' in done.out
    assert done.err == ""


def test_passes_is_what_every_chunk_gets(shell: Shell) -> None:
    shell(*SLEEP, "m", "--passes", "3")
    chunks = json.loads(shell("show", "m", "--json").out)["chunks"]
    assert {c["passes"] for c in chunks} == {3}
    assert {c["exit"] for c in chunks} == {"cap"}


def test_a_setting_goes_over_a_flag(shell: Shell) -> None:
    shell(*SLEEP, "m", "--passes", "3", "--set", "sleep.passes=1")
    assert json.loads(shell("show", "m", "--json").out)["config"]["sleep"]["passes"] == 1


def test_a_budget_is_kept(shell: Shell) -> None:
    free = json.loads(shell(*SLEEP, "free", "--passes", "8", "--json").out)
    budget = free["fet"] / 2
    capped = json.loads(shell(*SLEEP, "capped", "--passes", "8", "--budget", f"{budget:.0f}", "--json").out)
    assert 0 < capped["fet"] <= budget
    assert "budget" in capped["exits"]


def test_a_document_comes_from_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(tiny.STORY.encode()), encoding="utf-8"))
    figures = json.loads(shell("sleep", "-", "--config", "tiny.toml", "-o", "m", "--json").out)
    assert figures["documents"] == ["stdin"]


def test_text_is_forgotten_on_request(shell: Shell) -> None:
    shell(*SLEEP, "m", "--forget-text")
    assert not (shell.folder / "m" / "text").exists()
    assert shell("ask", "m", "Who?").code == 0


def test_a_memory_is_replaced_only_by_force(shell: Shell, memory: str) -> None:
    before = (shell.folder / memory / "memory.json").read_bytes()
    done = shell(*SLEEP, memory)
    assert (done.code, done.out) == (2, "")
    assert "--force" in done.err
    assert (shell.folder / memory / "memory.json").read_bytes() == before
    assert shell(*SLEEP, memory, "--force").code == 0
    assert (shell.folder / memory / "memory.json").read_bytes() != before


# -- ask and chat ---------------------------------------------------------------------------------------------------------------


def test_ask_prints_the_answers_only(shell: Shell, memory: str) -> None:
    done = shell("ask", memory, "Who kept the lighthouse?", "When did the harbour freeze?")
    assert len(done.out.splitlines()) == 2
    assert (done.code, done.err) == (0, "")


def test_ask_as_json_is_an_object_a_question(shell: Shell, memory: str) -> None:
    rows = [json.loads(line) for line in shell("ask", memory, "Who?", "When?", "--json").out.splitlines()]
    assert [row["question"] for row in rows] == ["Who?", "When?"]
    assert all({"question", "answer", "prompt_tokens", "document_tokens", "fet", "seconds"} <= row.keys() for row in rows)
    assert {row["document_tokens"] for row in rows} == {0}


def test_ask_shows_what_an_answer_leans_on(shell: Shell, memory: str) -> None:
    place = json.loads(shell("ask", memory, "Who kept the lighthouse?", "--way", "search", "--json").out)["leans_on"][0]
    done = shell("ask", memory, "Who kept the lighthouse?", "--way", "search", "--why")
    _, where, text = done.out.splitlines()
    assert where.strip() == f"chunk {place['chunk']} of story.md, characters {place['start']:,} to {place['end']:,}, under 'Orrin':"
    assert "Maren Tull kept the Orrin lighthouse" in text
    assert (done.code, done.err) == (0, "")
    assert shell("ask", memory, "Who?", "--way", "direct", "--why").out.endswith("\n  leans on no text: the memory alone\n")
    row = json.loads(shell("ask", memory, "Who kept the lighthouse?", "--way", "search", "--why", "--json").out)
    assert (row["leans_on"], len(row["passages"])) == ([place], 1)


def test_ask_says_in_words_that_the_document_does_not(shell: Shell, memory: str) -> None:
    asked = ("ask", memory, "Who kept the lighthouse?", "--set", "answer.not_stated=1e-9")
    assert shell(*asked).out == "the document does not seem to say\n"
    assert json.loads(shell(*asked, "--json").out)["stated"] is False
    assert json.loads(shell(*asked[:3], "--json").out)["stated"] is True


def test_a_way_takes_an_amount_on_the_command_line(shell: Shell, memory: str) -> None:
    row = json.loads(shell("ask", memory, "Who?", "--way", "vote:2", "--json").out)
    assert (row["way"], row["amount"], row["votes"]) == ("vote:2", 2, 2)
    done = shell("ask", memory, "Who?", "--way", "search:9")
    assert (done.code, done.out) == (2, "")
    assert done.err == "nrem: --way: answer.way search:9: got 9 rounds of search, expected 1 to 8; search alone is search:1\n"


def test_questions_come_from_standard_input(shell: Shell, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who?\n\nWhen?\n" * 10))
    assert len(shell("ask", memory, "-").out.splitlines()) == 20
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    done = shell("ask", memory, "-")
    assert done.code == 2
    assert "question: got none" in done.err


def test_a_question_that_cannot_be_asked_costs_no_other_its_answer(shell: Shell, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["Who kept the lighthouse?", "", "When did the harbour freeze?", "x" * 1001, "Who?"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    done = shell("ask", memory, "-")
    assert (done.code, len(done.out.splitlines())) == (2, 2)
    assert "nrem: standard input, line 4: question: got 1001 characters, expected at most 1000" in done.err


def test_what_is_set_too_late_is_told(shell: Shell, memory: str) -> None:
    done = shell("ask", memory, "Who?", "--set", "stream.chunk_tokens=64")
    assert (done.code, len(done.out.splitlines())) == (0, 1)
    assert done.err.startswith("nrem: stream.chunk_tokens (--set) has no effect: a memory that is only asked")


@pytest.mark.parametrize("end", ["exit\nWhy?\n", ""])
def test_chat_answers_line_by_line_until_the_end(shell: Shell, memory: str, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Who?\n\nWhen?\n" + end))
    done = shell("chat", memory)
    assert len(done.out.splitlines()) == 2
    assert (done.code, done.err) == (0, "")


# -- memories -------------------------------------------------------------------------------------------------------------------


def test_ls_lists_what_is_there(shell: Shell, memory: str) -> None:
    assert memory in shell("ls").out
    rows = [json.loads(line) for line in shell("ls", "memories", "--json").out.splitlines()]
    assert [(row["memory"], row["documents"], row["problem"]) for row in rows] == [(memory, ["story.md"], "")]


def test_ls_says_that_there_is_nothing(shell: Shell) -> None:
    done = shell("ls")
    assert (done.code, done.out) == (0, "")
    assert "no memories in memories" in done.err
    assert shell("ls", "nowhere").code == 2


def test_one_bad_memory_does_not_hide_the_others(shell: Shell, memory: str) -> None:
    for name, content in (("bad", "{"), ("list", "[1]"), ("edited", None), ("unreadable", "")):
        (shell.folder / "memories" / name).mkdir()
        if content is None:
            values = json.loads((shell.folder / memory / "memory.json").read_text(encoding="utf-8"))
            values["chunks"][0]["num_tokens"] = "many"
            values[OWN_HASH] = own_hash({key: value for key, value in values.items() if key != OWN_HASH})
            content = json.dumps(values)
        (shell.folder / "memories" / name / "memory.json").write_text(content, encoding="utf-8")
    (shell.folder / "memories" / "unreadable" / "memory.json").unlink()
    (shell.folder / "memories" / "unreadable" / "memory.json").mkdir()
    (shell.folder / "memories" / "cut.unfinished").mkdir()
    done = shell("ls")
    assert done.code == 1
    assert len(done.out.splitlines()) == 7
    assert "story.md" in done.out
    said = done.err.splitlines()
    assert [line.split(":")[1].strip() for line in said] == [f"memories/{name}" for name in ("bad", "edited", "list", "unreadable")]
    assert "chunks[0].num_tokens is 'many', expected a valid integer" in said[1]
    rows = shell("ls", "--json")
    assert (rows.code, len(rows.out.splitlines())) == (1, 6)


def test_hints_can_be_pasted(shell: Shell) -> None:
    done = shell(*SLEEP, "my memories/it's", "--quiet")
    assert """nrem ask 'my memories/it'"'"'s' "..." """.strip() in done.out


def test_show_says_how_it_was_made(shell: Shell, memory: str) -> None:
    values = json.loads(shell("show", memory, "--json").out)
    assert {"memory", "totals", "documents", "sleeps", "chunks", "config", "fet", "seconds", "canary", "text_kept"} <= values.keys()
    out = shell("show", memory).out
    for part in ("story.md", "recall before", "passes", values["chunks"][0]["exit"], "reading", "canary"):
        assert part in out


def test_rm_deletes_what_was_named(shell: Shell, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert shell("rm", memory).code == 0
    assert (shell.folder / memory).exists()
    assert shell("rm", memory, "--yes").code == 0
    assert not (shell.folder / memory).exists()
    assert (shell.folder / "memories").exists()


def test_eval_ends_with_one_json_object(shell: Shell, memory: str) -> None:
    rows = [{"id": "1", "question": "Who kept the lighthouse?", "answers": ["Maren Tull"]}]
    (shell.folder / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = json.loads(shell("eval", memory, "--questions", "qa.jsonl", "--json").out)
    assert found["arms"].keys() == {"floor", "wrong", "memory", "read", "search", "ensemble", "context"}
    assert found["questions"][0]["expected"] == "Maren Tull"
    assert found["questions"][0]["answers"].keys() == found["arms"].keys()
    assert all({"nll", "f1", "em", "n"} <= arm.keys() for arm in found["arms"].values())
    assert "recovery" in found
    table = shell("eval", memory, "--questions", "qa.jsonl", "--arms", "floor,memory").out
    assert "no document" in table
    assert "wrong memory" not in table
    assert "--arms: got 'best'" in shell("eval", memory, "--questions", "qa.jsonl", "--arms", "best").err
