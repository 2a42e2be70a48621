"""Pages: are the outputs that the pages show real? Runs what they show, one after the other, and writes what came out back into them.

    python -m benchmarks.pages [PAGE.md ...]

Without a page it takes those of `PAGES`; all share one scratch folder, since a page goes on where the one before it ended. On a page,

    ```console blocks   are run line by line: behind `$ ` stands a command for bash, below it what it printed, stderr included
    ```python blocks    are run as programs, and a ```text block behind one holds what it printed
    <!-- file: NAME --> before a block of any language: the block is this file, and is written before anything runs
    <!-- not run: WHY --> before a block: it is left as it is

A command may fail only where the page asks `echo $?` next. Nothing is written to any page where something fails.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import common
from nrem.memory.errors import MissingFileError, NremError

PAGES = ("docs/long-documents.md", "docs/saved-memories.md", "docs/python.md", "docs/tuning.md")
ASKS_HOW_IT_ENDED = "echo $?"
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>file|not run): (?P<said>[^\n]*?) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<body>.*?)^```$"
    r"(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Desk:
    """The scratch folder in which a page's programs run, as its reader would run them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.code = folder, 0
        own = str(Path(sys.executable).parent)
        hidden = ("COLUMNS", "NREM_DEBUG", "FORCE_COLOR", "PYTHONPATH")
        self.environment = {name: value for name, value in os.environ.items() if name not in hidden}
        self.environment["PATH"] = own + os.pathsep + self.environment.get("PATH", "")
        if (common.ROOT / "nrem").is_dir():  # the nrem of this checkout, whatever is installed
            self.environment["PYTHONPATH"] = str(common.ROOT)

    def console(self, body: str) -> str:
        """A block with what its commands print now. Raises `NremError` for a command that fails where that is not shown."""
        lines = list[str]()
        commands = commands_of(body)
        for command, then in pairwise([*commands, ""]):
            code, printed, _ = self._run(["bash", "-c", f"(exit {self.code}); {command}"], merged=True)
            self.code = code
            if code and then != ASKS_HOW_IT_ENDED:
                raise NremError(f"{command}: ended with exit code {code}, which the page does not show:\n{printed}")
            lines += [f"$ {command}\n", *printed.splitlines(keepends=True)]
            if lines[-1][-1:] != "\n":
                lines.append("\n")
        return "".join(lines)

    def python(self, body: str) -> str:
        """What a program prints. Raises `NremError` where it fails."""
        code, printed, error = self._run([sys.executable, "-c", body], merged=False)
        if code:
            raise NremError(f"the program that begins with {body.splitlines()[0]!r} ended with exit code {code}:\n{error}")
        return printed

    def _run(self, words: Sequence[str], *, merged: bool) -> tuple[int, str, str]:
        with common.stage(words[-1].removeprefix(f"(exit {self.code}); ").splitlines()[0][:100]):
            done = subprocess.run(
                words,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                text=True,
                encoding="utf-8",
                check=False,
            )
        return done.returncode, "\n".join(line.rstrip() for line in done.stdout.split("\n")), done.stderr or ""


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.md", help=f"default: {', '.join(PAGES)}")
    pages = parser.parse_args(arguments).pages or [common.ROOT / page for page in PAGES]
    if gone := [page for page in pages if not page.is_file()]:
        raise MissingFileError(f"{gone[0]}: no such file; give a page of docs/")
    with tempfile.TemporaryDirectory(prefix="nrem-pages-") as scratch:
        desk, texts = Desk(Path(scratch)), {page: page.read_text(encoding="utf-8") for page in pages}
        for text in texts.values():
            write_files(text, desk.folder)
        done = {page: run_page(text, desk) for page, text in texts.items()}
    for page, text in done.items():
        page.write_text(text, encoding="utf-8")


def write_files(text: str, folder: Path) -> None:
    """The files that a page shows."""
    for block in BLOCK.finditer(text):
        if block["mark"] == "file":
            (folder / block["said"]).write_text(block["body"], encoding="utf-8")


def run_page(text: str, desk: Desk) -> str:
    """The page with what its blocks print now."""

    def rerun(block: re.Match[str]) -> str:
        if block["mark"]:
            return block[0]
        if block["language"] == "console":
            return _with(block, body=desk.console(block["body"]))
        if block["language"] == "python":
            printed = desk.python(block["body"])
            return block[0] if block["printed"] is None else _with(block, printed=printed)
        return block[0]

    return BLOCK.sub(rerun, text)


def _with(block: re.Match[str], **groups: str) -> str:
    """A block with other words in one of its parts."""
    [(name, words)] = groups.items()
    start, end = block.start(name) - block.start(), block.end(name) - block.start()
    return block[0][:start] + words + block[0][end:]


def commands_of(body: str) -> list[str]:
    r"""The commands of a console block; one whose line ends with a backslash goes on in the next.

    >>> commands_of("$ nrem ls \\\n    memories\na table\n$ echo $?\n0\n")
    ['nrem ls \\\n    memories', 'echo $?']
    """
    return [found[2:] for found in re.findall(r"^\$ (?:.*\\\n)*.*$", body, re.MULTILINE)]


if __name__ == "__main__":
    common.run(main)
