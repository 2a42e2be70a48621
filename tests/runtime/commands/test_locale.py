"""The whole program in locales that are not UTF-8, with names and headings that are: whatever the locale, a memory can be read anywhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nrem.memory.memory import Memory
from tests.cli import Shell

TEXT = "# Der Wärter von Örrin\n\nDer Wärter Müller zündete täglich um 6 Uhr die Lampe an. Er kam 1874 aus Lübeck.\n"
C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = pytest.mark.parametrize("locale", [C, {**C, "PYTHONIOENCODING": "iso-8859-1:strict"}], ids=["ascii", "latin-1"])


def nrem(shell: Shell, locale: dict[str, str], *argv: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONUTF8", "PYTHONIO"))}
    command = [os.fsencode(part) for part in (sys.executable, "-m", "nrem", *argv)]
    return subprocess.run(command, cwd=shell.folder, env=environment | locale, input=stdin, capture_output=True, check=False)


@pytest.mark.slow
@LOCALES
def test_a_heading_with_an_umlaut_is_slept_on_shown_and_asked(shell: Shell, locale: dict[str, str]) -> None:
    (shell.folder / "wärter.md").write_text(TEXT, encoding="utf-8")
    slept = nrem(shell, locale, "sleep", "wärter.md".encode(), "--config", "tiny.toml", "-o", "m", "-q")
    assert (slept.returncode, slept.stderr) == (0, b"")
    memory = Memory.load(shell.folder / "m")
    assert [(d.name, d.title) for d in memory.record.documents] == [("wärter.md", "Der Wärter von Örrin")]
    assert "".join(chunk.text for chunk in memory.text or ()) == TEXT
    assert "wärter.md" in (shell.folder / "m" / "README.md").read_text(encoding="utf-8")
    for command in (("show", "m"), ("ls", ".")):
        done = nrem(shell, locale, *command)
        assert (command, done.returncode, done.stderr) == (command, 0, b"")
    shown = json.loads(nrem(shell, locale, "show", "m", "--json").stdout)
    assert shown["documents"][0]["title"] == "Der Wärter von Örrin"
    question = "Wer zündete die Lampe an?".encode()
    asked = nrem(shell, locale, "ask", "m", question, "--json")
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert json.loads(asked.stdout)["question"] == "Wer zündete die Lampe an?"
    if "PYTHONIOENCODING" not in locale:  # a latin-1 terminal would send other bytes
        piped = nrem(shell, locale, "ask", "m", "-", "--json", stdin=question + b"\n")
        assert json.loads(piped.stdout)["question"].strip() == "Wer zündete die Lampe an?"


def test_names_that_are_not_utf8(shell: Shell) -> None:
    """Those of documents are shown by their bytes; a memory of such a name is refused before anything is done, nobody could open it."""
    path = Path(os.fsdecode(os.fsencode(shell.folder) + b"/caf\xe9.txt"))
    path.write_text(TEXT, encoding="utf-8")
    assert shell("sleep", str(path), "--config", "tiny.toml", "-o", "m").code == 0
    document = json.loads(shell("show", "m", "--json").out)["documents"][0]
    assert (document["name"], document["title"]) == (r"caf\xe9.txt", r"caf\xe9")
    assert r"caf\xe9.txt" in shell("show", "m").out
    done = shell("sleep", str(path), "--config", "tiny.toml", "-o", os.fsdecode(b"m\xfcll"))
    assert (done.code, done.out) == (2, "")
    assert r"/m\xfcll: not UTF-8, expected a path that safetensors can open; choose another name or place" in done.err
