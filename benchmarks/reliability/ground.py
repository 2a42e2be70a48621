"""The ground of the reliability benchmarks: a folder with a tiny model and documents, and the command line in processes to be killed."""

import atexit
import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.reliability.killed import Ended, run
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.saved.files import ADAPTER_WEIGHTS, MEMORY
from nrem.memory.saved.own import of_any
from nrem.runtime.commands.main import main
from nrem.runtime.config import to_toml
from tests import tiny

SECRET = "the vault opens on 4711"
STORY = f"# Orrin\n\n{tiny.STORY}\n\nIn the cellar of Hallow {SECRET}, said Aldo. Nobody believed him.\n\n{tiny.STORY.replace('18', '19')}"
OTHER = "# Sarn\n\nThe mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802.\n"
THEIRS = {"notes.txt": "my notes", "src.py": "print()", "text/draft.tex": "my draft", "data/a/b.csv": "1,2"}
"""Files of a person in a memory's folder."""
THEIRS_UNFINISHED = {"thesis.tex": "my thesis"}


@dataclass(frozen=True)
class Said:
    """What a command left."""

    ended: Ended
    text: str
    seconds: float

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.text or "unexpected " in self.text


class Ground:
    """A folder for one trial after another. `memories` are made once, and copied for each trial."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.here = folder, folder / "here"
        torch.set_num_threads(1)  # a forked process has none of its parent's threads
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        if run(self._make).code:
            raise RuntimeError("the tiny model could not be made")

    def _make(self) -> None:
        """In a process of its own, so that this one has never computed anything."""
        folder = self.folder
        base = tiny.make_base("llama")
        base.model.save_pretrained(folder / "model")
        base.tokenizer.save_pretrained(folder / "model")
        save_protocol(folder / "protocol", tiny.make_keyed_protocol(base), base.identity, {})
        settings = (f"model.name={folder / 'model'}", f"protocol.name={folder / 'protocol'}", "guard.enabled=false", "probes.share=0.2")
        (folder / "tiny.toml").write_text(to_toml(tiny.make_config(*settings)), encoding="utf-8")
        (folder / "story.md").write_text(STORY, encoding="utf-8")
        (folder / "other.md").write_text(OTHER, encoding="utf-8")

    def sleep(self, document: str, *flags: str) -> tuple[str, ...]:
        return ("sleep", str(self.folder / document), "--config", str(self.folder / "tiny.toml"), "-o", "m", "-q", *flags)

    def fresh(self, *copies: tuple[Path, str], theirs: bool = True) -> None:
        """An empty folder with copies of these under these names, and files of a person in them."""
        shutil.rmtree(self.here, ignore_errors=True)
        (self.here / "tmp").mkdir(parents=True)
        for source, name in copies:
            shutil.copytree(source, self.here / name)
            if theirs:
                write(self.here / name, THEIRS_UNFINISHED if name.endswith(".unfinished") else THEIRS)

    def command(self, *argv: str, number: int = 0, seconds: float = 0.0) -> Said:
        """Run the command line here, in a process that may be killed."""
        return self.do(lambda: command(*argv), number=number, seconds=seconds)

    def do(self, action: Callable[[], Any], *, number: int = 0, seconds: float = 0.0) -> Said:
        said = self.folder / f"said-{random.random()}"
        started = time.monotonic()
        ended = run(lambda: _at(self.here, said, action), number=number, seconds=seconds)
        text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
        said.unlink(missing_ok=True)
        return Said(ended, text, time.monotonic() - started)

    def state(self, name: str = "m") -> str:
        """A name for what the memory holds, "" where there is none: adapter, text, and which chunks its record knows."""
        folder = self.here / name
        if not (folder / MEMORY).exists():
            return ""
        try:
            values = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
            chunks = json.dumps([[c[k] for k in ("document", "index", "start", "end", "passes")] for c in values["chunks"]])
            digest = hashlib.sha256((folder / ADAPTER_WEIGHTS).read_bytes() + chunks.encode())
            for file, sha256 in values["files"].items():
                if hashlib.sha256((folder / file).read_bytes()).hexdigest() != sha256:
                    return f"damaged: {file}"
            digest.update((folder / "text" / "chunks.jsonl").read_bytes())
        except (OSError, ValueError, KeyError) as error:
            return f"damaged: {error}"
        return digest.hexdigest()[:12]

    def left(self) -> list[str]:
        """What should not be there when nobody writes; an empty folder in the temporary folder is nothing private."""
        hidden = [path.name for path in self.here.iterdir() if path.name.startswith(".")]
        temporary = [path for path in (self.here / "tmp").rglob("*") if path.is_file() and path.stat().st_size]
        return hidden + [path.relative_to(self.here / "tmp").as_posix() for path in temporary]

    def touched(self, before: dict[str, bytes]) -> list[str]:
        """Files of a person that are not as they were."""
        return [name for name, content in before.items() if not (path := self.here / name).is_file() or path.read_bytes() != content]

    def theirs(self) -> dict[str, bytes]:
        found = {}
        for name in ("m", "m.unfinished"):
            for path in (self.here / name).rglob("*"):
                if path.is_file() and not of_any(path.relative_to(self.here / name).as_posix()):
                    found[path.relative_to(self.here).as_posix()] = path.read_bytes()
        return found

    def holds(self, secret: str) -> list[str]:
        """Files here that still hold a text."""
        paths = (path for path in self.here.rglob("*") if path.is_file())
        return [path.relative_to(self.here).as_posix() for path in paths if secret.encode() in path.read_bytes()]


def command(*argv: str) -> int:
    """The exit code of a command, in this process."""
    try:
        main(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="reliability-"))  # a TemporaryDirectory would go when a forked process ends
    try:
        yield Ground(folder)
    finally:
        shutil.rmtree(folder)


def _at(here: Path, said: Path, action: Callable[[], Any]) -> Any:
    """In a process of its own: there, with its own temporary folder and cache, and what it says in a file."""
    os.chdir(here)
    os.environ |= {"TMPDIR": str(here / "tmp"), "NREM_CACHE": str(said.parent / "cache")}
    tempfile.tempdir = str(here / "tmp")  # as it would find out by writing a file there
    output = os.open(said, os.O_WRONLY | os.O_CREAT, 0o600)
    for number, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, number)
        setattr(sys, stream, os.fdopen(os.dup(output), "w", encoding="utf-8", buffering=1))  # whatever they were in the parent
    try:
        return action()
    finally:
        atexit._run_exitfuncs()  # what a process does when it ends
