"""What the operating system refuses is one sentence, and what was there is as it was."""

import errno
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from nrem.memory.memory import Memory
from nrem.runtime.commands.refused import refusal

SLEEP = ("sleep", "story.md", "--config", "tiny.toml", "-o", "memories/orrin", "--quiet")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "m/a"), "m/a: no space left on the disk; what was there before is as it was"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "no space left on the disk"),
        (OSError(errno.EROFS, "Read-only file system", b"m"), "m: this file system is read-only; choose another place"),
        (PermissionError(errno.EACCES, "Permission denied", "m"), "m: you are not permitted to read or write there"),
        (OSError(errno.EISDIR, "Is a directory", "m"), "m: Is a directory"),
        (ValueError("no such thing"), ""),
        (OSError("nothing with a number"), ""),
    ],
)
def test_a_sentence_for_each(error: Exception, sentence: str) -> None:
    assert refusal(error).startswith(sentence)
    assert bool(refusal(error)) == bool(sentence)
    assert "unexpected" not in refusal(error)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--passes", "1,2"), "--passes: got 1,2, expected rising numbers from 0"),
        (("-o", "story.md"), "--out story.md: story.md is no folder; name another place"),
        (("-o", "story.md/in/it"), "story.md is no folder; name another place"),
    ],
)
def test_hours_of_measuring_are_not_begun_in_vain(shell: Any, flags: tuple[str, ...], sentence: str) -> None:
    done = shell("ceiling", "story.md", "--config", "tiny.toml", *flags)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert "loading" not in done.err


def test_a_full_disk_leaves_the_old_memory(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell(*SLEEP).code == 0
    before = {path: path.read_bytes() for path in Path(shell.folder, "memories").rglob("*") if path.is_file()}

    def full(self: Memory, made: Path, *given: Any, **more: Any) -> None:
        (made / "half").write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(Memory, "_write", full)
    done = shell(*SLEEP, "--force")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("nrem: no space left on the disk; what was there before is as it was")
    after = {path: path.read_bytes() for path in Path(shell.folder, "memories", "orrin").rglob("*") if path.is_file()}
    assert {path: content for path, content in before.items() if "unfinished" not in str(path)} == after
