"""The edges of commands: Ctrl-C, streams that are closed, full or binary, folders of another user, files of a person among nrem's own."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.reliability.ground import Ground, command
from nrem.consolidation.protocol.folder import save_protocol
from nrem.memory.errors import MemoryFolderError, UsageError
from nrem.runtime.models.load import Base
from tests import cli, tiny

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A folder that others may enter, with a memory to copy."""
    ground = Ground(tmp_path_factory.mktemp("ground"))
    ground.fresh()
    assert ground.command(*ground.sleep("story.md")).ended.code == 0
    shutil.copytree(ground.here / "m", ground.folder / "made")
    asked = [{"question": "Who kept the lamp?", "answers": ["Maren Tull"]}, {"question": "When?", "answers": ["1843"]}]
    (ground.folder / "qa.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    return ground


def interrupted(argv: Sequence[str], seconds: float) -> int:
    """A command that a person ends after so many seconds."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return command(*argv)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sleep", "ask", "tune", "train-protocol", "extend"])
def test_ctrl_c_is_one_line_and_loses_nothing(on: Ground, name: str) -> None:
    config = ("--config", str(on.folder / "tiny.toml"), "-q")
    argv = {
        "sleep": on.sleep("other.md", "--force"),
        "ask": ("ask", "m", *(f"Who kept lamp {number}?" for number in range(20))),
        "tune": ("tune", str(on.folder / "story.md"), "--questions", str(on.folder / "qa.jsonl"), "-o", "t", "--passes", "0,1", *config),
        "train-protocol": ("train-protocol", "--smoke"),
        "extend": ("extend", "m", str(on.folder / "other.md"), "-q"),
    }[name]
    ends = []
    for seconds in (0.05, 0.6, 0.1):
        on.fresh((on.folder / "made", "m"))
        old = on.state()
        said = on.do(lambda seconds=seconds: interrupted(argv, seconds))  # type: ignore[misc]
        ends.append(said.ended.code)
        assert said.ended.code in (0, 130), said
        if not said.ended.code:  # done by then, or a library has swallowed the signal, and the person presses again
            continue
        *_, last = said.text.strip().splitlines()
        assert re.match(r"nrem: interrupted(; the same command with --resume goes on from .*)?$", last), said.text
        assert "Traceback" not in said.text
        assert on.state() == old
        assert on.left() == []
    assert 130 in ends


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NREM": f"{sys.executable} -m nrem"}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("$NREM ls . | head -1", 0, ""),
        ("$NREM --help | head -1", 0, ""),
        ("$NREM ls . >&-", 0, ""),
        ("$NREM ls . >/dev/full", 1, "nrem: no space left on the disk; "),
        ("$NREM show nix 2>&-", 2, ""),
        ("$NREM show nix 2>/dev/full", 2, ""),
        ("$NREM sleep - -o x <&-", 1, "nrem: -: standard input is closed; "),
    ],
)
def test_streams(on: Ground, line: str, code: int, words: str) -> None:
    on.fresh((on.folder / "made", "m"))
    done = run(on.here, line)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1 if words else 0), done
    assert done.stderr.startswith(words)
    assert not re.search("Traceback|Exception ignored|unexpected", done.stderr + done.stdout)


def test_binary_questions_are_refused(shell: cli.Shell, on: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(on.folder / "made", tmp_path / "m")
    base = ("--model", str(on.folder / "model"), "--set", f"protocol.name={on.folder / 'protocol'}")
    for data, words in ((b"\xff\xfe\x80 \n", "got bytes that are no UTF-8 text"), (b"\x00\x01\n", "got a NUL character")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        done = shell("ask", "m", "-", *base)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
        assert words in done.err
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        done = shell("chat", "m", *base)
        assert (done.code, done.out, done.err.count("\n")) == (0, "", 1), done
        assert words in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["folder", "adapter_model.safetensors", "memory.json"])
def test_another_users_memory(on: Ground, name: str) -> None:
    def as_nobody(argv: Sequence[str]) -> int:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        return command(*argv)

    for folder in (on.folder, *on.folder.parents[:2]):
        folder.chmod(0o755)
    extend, merge = ("extend", "m", "m/README.md"), ("merge", "m", "m", "-o", "b")
    for argv in (("ls", "."), ("show", "m"), ("ask", "m", "Who?"), ("rm", "m", "--yes"), extend, merge):
        on.fresh((on.folder / "made", "m"))
        on.here.chmod(0o777)
        (on.here / "tmp").chmod(0o777)
        (on.here / "m" if name == "folder" else on.here / "m" / name).chmod(0o700)
        old = on.state()
        said = on.do(lambda argv=argv: as_nobody(argv))  # type: ignore[misc]
        assert not said.traceback, said
        assert "[Errno" not in said.text, said
        assert on.state() == old
        if argv[0] not in ("ls", "show"):
            assert said.ended.code in (1, 2)
            assert said.text.count("\n") == 1, said


def test_a_protocols_folder_keeps_what_others_put_there(llama: Base, tmp_path: Path) -> None:
    protocol, folder = tiny.make_keyed_protocol(llama), tmp_path / "p"
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="p: exists and is not a protocol; choose another name, nrem does not overwrite it"):
        save_protocol(folder, protocol, llama.identity, {})
    assert [path.name for path in tmp_path.rglob("*")] == ["p", "thesis.tex"]
    (folder / "thesis.tex").unlink()
    save_protocol(folder, protocol, llama.identity, {})
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.tex").write_text("mine", encoding="utf-8")
    (folder / "curves.json").write_text("{}", encoding="utf-8")  # of the protocol that goes
    save_protocol(folder, protocol, llama.identity, {})
    assert (folder / "notes" / "thesis.tex").read_text(encoding="utf-8") == "mine"
    assert not (folder / "curves.json").exists()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UsageError, match="link: is a symbolic link; name the folder that it points to"):
        save_protocol(tmp_path / "link", protocol, llama.identity, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "p"]
    assert not isinstance(UsageError("x"), MemoryFolderError)


def test_training_refuses_such_a_folder_before_it_trains(shell: cli.Shell, tmp_path: Path, model_folder: Path, rooms: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.tex").write_text("mine", encoding="utf-8")
    done = shell("train-protocol", "--data", str(rooms), "--model", str(model_folder), "-o", "p", "--minutes", "0")
    assert (done.code, done.err) == (2, "nrem: p: exists and is not a protocol; choose another name, nrem does not overwrite it\n")
    assert not (tmp_path / "p.training").exists()


@pytest.mark.parametrize("flag", ["--force", "--resume"])
@pytest.mark.parametrize("name", ["levels/0004/thesis.tex", "unfinished/Makefile", "levels/notes.md"])
def test_a_runs_inner_folders_are_looked_at_as_well(shell: cli.Shell, tmp_path: Path, flag: str, name: str) -> None:
    theirs = tmp_path / "t" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine", encoding="utf-8")
    (tmp_path / "t" / "bank.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "qa.jsonl").write_text(json.dumps({"question": "Who?", "answers": ["Maren"]}), encoding="utf-8")
    done = shell("tune", "story.md", "--questions", "qa.jsonl", "-o", "t", "--config", "tiny.toml", flag)
    assert (done.code, done.err) == (2, f"nrem: t: exists and is not a tuning run ({name} is no part of one); choose another name\n")
    assert theirs.read_text(encoding="utf-8") == "mine"
