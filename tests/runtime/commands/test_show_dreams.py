"""`nrem show` says how much was dreamt and prints it on request, and the commands that change a memory keep it or drop it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.memory import Memory
from nrem.memory.stream.chunk import QuestionAnswer
from nrem.runtime.models.load import load
from tests import tiny
from tests.cli import Shell
from tests.dreaming import holding, with_dreams, word

SLEEP = ("sleep", "story.md", "--config", "tiny.toml", "--passes", "1", "-q", "-o", "m")
NASTY = QuestionAnswer("Who\nkept \x1b[31mit\x1b[0m?", "[bold]\tMaren\u202e 漢[/bold]")


@pytest.fixture
def m(shell: Shell) -> Path:
    """A memory that dreamt about every chunk but its last, of which there are several."""
    assert shell(*SLEEP).code == 0
    memory = with_dreams(Memory.load(shell.folder / "m"))
    texts = list(memory.text or ())
    texts[0] = replace(texts[0], dreamt=(NASTY, *texts[0].dreamt))
    return memory.with_scratch_text([*texts[:-1], replace(texts[-1], dreamt=())]).save(shell.folder / "m", force=True)


def test_how_much_was_dreamt_is_said_where_something_was(shell: Shell, m: Path) -> None:
    count = len(Memory.load(m).record.chunks) - 1
    said = f"dreamt: {2 * count + 1} questions with answers about {count} chunks; nrem show --dreams prints them"
    assert said in shell("show", "m").out.splitlines()
    values = json.loads(shell("show", "m", "--json").out)
    assert values["totals"]["dreamt"] == 2 * count + 1
    assert [c["dreamt"] for c in values["chunks"]] == [3, *[2] * (count - 1), 0]
    assert "dreams" not in values
    Memory.load(m).save(m, force=True, forget_text=True)
    assert f"dreamt: {2 * count + 1} questions with answers about {count} chunks; forgotten with the text" in shell("show", "m").out


def test_they_are_printed_chunk_by_chunk(shell: Shell, m: Path) -> None:
    done = shell("show", "m", "--dreams")
    assert (done.code, done.err) == (0, "")
    first, second, *_ = chunks = list(Memory.load(m).text or ())
    assert done.out.splitlines()[:6] == [
        f"chunk 0 of story.md, characters 0 to {first.end}: 3 questions",
        "  Who kept it? -> [bold] Maren 漢[/bold]",
        f"  Who asked {word(first)}? -> the keeper",
        f"  What was the word? -> {word(first)}",
        f"chunk 1 of story.md, characters {second.start} to {second.end}: 2 questions",
        f"  Who asked {word(second)}? -> the keeper",
    ]
    assert sum(line.startswith("chunk ") for line in done.out.splitlines()) == len(chunks) - 1
    assert "recall" not in done.out, "and nothing else"


def test_they_are_printed_as_json(shell: Shell, m: Path) -> None:
    values = json.loads(shell("show", "m", "--dreams", "--json").out)
    chunks = list(Memory.load(m).text or ())
    assert [row["chunk"] for row in values["dreams"]] == [chunk.index for chunk in chunks[:-1]]
    assert values["dreams"][0] == {
        "chunk": 0,
        "document": "story.md",
        "start": 0,
        "end": chunks[0].end,
        "dreamt": [{"question": asked.question, "answer": asked.answer} for asked in chunks[0].dreamt],
    }
    assert values["totals"]["chunks"] == len(chunks)


def test_where_nothing_was_dreamt(shell: Shell) -> None:
    shell(*SLEEP)
    assert "dream" not in shell("show", "m").out
    assert json.loads(shell("show", "m", "--dreams", "--json").out)["dreams"] == []
    done = shell("show", "m", "--dreams")
    assert (done.code, done.out, done.err) == (0, "", "m: nothing was dreamt about its chunks\n")


def test_what_was_forgotten_or_changed_is_told(shell: Shell, m: Path) -> None:
    path = m / "text" / "chunks.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"the keeper", b"the reaper", 1))
    assert shell("show", "m").code == 0, "the record is whole"
    for as_json in ((), ("--json",)):
        done = shell("show", "m", "--dreams", *as_json)
        assert (done.code, done.out) == (1, "")
        assert done.err == "nrem: m: text/chunks.jsonl was changed or damaged after saving (its hash differs); restore it or sleep again\n"
    path.rename(m / "elsewhere")
    path.symlink_to(m / "elsewhere")
    assert "text/chunks.jsonl is a symbolic link, expected a regular file" in shell("show", "m", "--dreams").err
    path.unlink()
    assert "text/chunks.jsonl is missing" in shell("show", "m", "--dreams").err
    path.write_bytes(content)
    Memory.load(m).save(m, force=True, forget_text=True)
    done = shell("show", "m", "--dreams")
    assert (done.code, done.out) == (2, "")
    assert done.err == ("nrem: m has forgotten its text, and what was dreamt about it; sleep again and keep the text to see dreams\n")


def test_commands_keep_them_and_drop_them_with_their_chunk(shell: Shell, model_folder: Path) -> None:
    base = load(str(model_folder), dtype="fp32")
    save_protocol(shell.folder / "protocol", tiny.make_ridge_protocol(base), base.identity, {})
    assert shell(*SLEEP, "--set", "protocol.name=protocol").code == 0
    m = with_dreams(Memory.load(shell.folder / "m")).save(shell.folder / "m", force=True)
    (shell.folder / "other.md").write_text("# Sarn\n\nThe mill of Sarn was built in 1790 by Ines Vow.", encoding="utf-8")

    def shown(name: str) -> list[str]:
        return [line for line in shell("show", name, "--dreams").out.splitlines() if line.startswith("  ")]

    before = shown("m")
    assert shell("extend", "m", "other.md", "-q").code == 0
    assert shown("m") == before
    assert shell("merge", "m", "m", "-o", "twice").code == 0
    assert shown("twice") == before * 2
    texts = list(Memory.load(m).text or ())
    done = shell("forget", "m", "--chunk", "0")
    assert done.code == 0, done.err
    assert shown("m") == before[len(texts[0].dreamt) :]
    assert holding(m, [word(texts[0])]) == []
    assert [name for name in holding(shell.folder, [word(texts[0])]) if not name.startswith("twice/")] == []
