"""Documents through real pipes, as a shell makes them."""

import hashlib
import json
import subprocess
import sys

import pytest

from nrem.runtime.config import to_toml
from tests import tiny
from tests.cli import Shell

LINE = "The lamp of Orrin burned sixty litres of oil a night.\n"


@pytest.mark.slow
@pytest.mark.parametrize("size", [66_000])
@pytest.mark.parametrize(
    "command",
    ["{nrem} <(cat story.txt)", "cat story.txt | {nrem} -", "cat story.txt | {nrem} /dev/stdin", "mkfifo f; cat story.txt > f & {nrem} f"],
    ids=["substitution", "dash", "stdin", "fifo"],
)
def test_no_byte_of_a_pipe_is_lost(shell: Shell, command: str, size: int) -> None:
    text = (LINE * (size // len(LINE) + 1))[:size]
    (shell.folder / "story.txt").write_text(text, encoding="utf-8")
    model = (shell.folder / "tiny.toml").read_text(encoding="utf-8").split('name = "')[1].split('"')[0]
    large = tiny.make_config(
        f"model.name={model}", "stream.chunk_tokens=1900", "stream.window_tokens=1900", "stream.buffer_tokens=1000000", "sleep.passes=0",
        "guard.enabled=false", "probes.facts_per_chunk=1", "probes.held_out_per_chunk=1",
    )  # fmt: skip
    (shell.folder / "large.toml").write_text(to_toml(large), encoding="utf-8")
    line = command.format(nrem=f"'{sys.executable}' -m nrem sleep --config large.toml -o m -q --json")
    done = subprocess.run(["bash", "-c", line], cwd=shell.folder, capture_output=True, check=True, text=True, encoding="utf-8", timeout=600)
    assert json.loads(done.stdout)["tokens"] == size
    (document,) = json.loads((shell.folder / "m" / "memory.json").read_text(encoding="utf-8"))["documents"]
    assert document["num_characters"] == size
    assert document["sha256"] == hashlib.sha256(text.encode()).hexdigest()
