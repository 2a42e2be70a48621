"""One writer a memory, and left-overs of dead ones taken away by the next: never those of a living one, never what is somebody else's."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from benchmarks.reliability.killed import tree
from nrem.memory.errors import InUseError, MemoryFolderError, MissingFileError, UsageError
from nrem.memory.library.folder import list_memories
from nrem.memory.saved.files import CARD, MEMORY
from nrem.memory.saved.leftovers import leftovers
from nrem.memory.saved.lock import LONGEST_NAME, lock_file, one_writer, tidied
from nrem.memory.saved.record_file import read_record
from nrem.memory.saved.scratch import Scratch, sweep_scratch
from nrem.memory.saved.target import check_target, real_target

ROOT = Path(__file__).parents[3]
HOLD = """
import sys, time
from pathlib import Path
from nrem.memory.saved.lock import one_writer
from nrem.memory.saved.scratch import Scratch
kept = Scratch()
(kept.folder / "chunks.jsonl").write_text("secret")
with one_writer(Path(sys.argv[1]), "nrem extend"):
    folder = Path(sys.argv[1]).with_name(".m.77.new")
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text("secret")
    print("held", kept.folder, flush=True)
    time.sleep(120)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test's own."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def holder(tmp_path: Path) -> "subprocess.Popen[str]":
    """Another process that writes into `m`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "m")], stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("held")
    return process


def test_the_second_writer_is_told_who_the_first_is(tmp_path: Path, holder: "subprocess.Popen[str]", temporary: Path) -> None:
    scratch = list(temporary.iterdir())
    words = (
        rf"m: nrem extend \(process {holder.pid}\) writes there since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d; wait until it has ended, or choose"
    )
    for name in ("m", "m.unfinished"):
        with pytest.raises(InUseError, match=words.replace("m:", f"{name}:", 1)), one_writer(tmp_path / name, "nrem rm"):
            pass
    tidied(tmp_path / "m")
    assert (tmp_path / ".m.77.new").exists(), "it is alive"
    assert list(temporary.iterdir()) == scratch
    assert len(scratch) == 1

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with one_writer(tmp_path / "m", "nrem rm"):
        assert [path.name for path in tmp_path.iterdir()] == [".m.nrem-lock"]
        assert list(temporary.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_threads_are_writers_too_and_what_a_writer_calls_may_write(tmp_path: Path) -> None:
    found: list[BaseException] = []

    def write() -> None:
        try:
            with one_writer(tmp_path / "m", "thread"):
                pass
        except BaseException as error:
            found.append(error)

    with one_writer(tmp_path / "m", "first"), one_writer(tmp_path / "m", "what it calls"):
        (thread := threading.Thread(target=write)).start()
        thread.join()
        assert [type(error) for error in found] == [InUseError]
        assert f"first (process {os.getpid()})" in str(found[0])
    write()
    assert len(found) == 1


def test_many_writers_one_after_the_other_lose_nothing(tmp_path: Path) -> None:
    """The lock file is taken away each time: nobody may hold one that has lost its name."""
    counter, wrong = tmp_path / "counter", []
    counter.write_text("0", encoding="utf-8")

    def count() -> None:
        for _ in range(20):
            while True:
                try:
                    with one_writer(tmp_path / "m", "count"):
                        counter.write_text(str(int(counter.read_text(encoding="utf-8")) + 1), encoding="utf-8")
                    break
                except InUseError:
                    continue
                except BaseException as error:
                    wrong.append(error)
                    return

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert counter.read_text(encoding="utf-8") == "80"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_folders_above_are_made_and_do_not_stay_empty(tmp_path: Path) -> None:
    with one_writer(tmp_path / "a" / "b" / "m", "test"):
        pass
    assert list(tmp_path.iterdir()) == []
    with one_writer(tmp_path / "a" / "b" / "m", "test"):
        (tmp_path / "a" / "b" / "m").mkdir()
    assert (tmp_path / "a" / "b" / "m").exists()


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(MemoryFolderError, match=r"file: cannot be (made|written to) \(.*\); choose another place"),
        one_writer(tmp_path / "file" / "m", "test"),
    ):
        pass
    with pytest.raises(UsageError, match=rf"the name is too long, 300 bytes; choose one of {LONGEST_NAME} or fewer"):
        lock_file(tmp_path / ("x" * 300))


def memory(folder: Path, word: str) -> Path:
    folder.mkdir()
    (folder / MEMORY).write_text(f'{{"word": "{word}"}}', encoding="utf-8")
    (folder / CARD).write_text(word, encoding="utf-8")
    return folder


def test_what_was_moved_aside_is_put_back_by_who_only_looks(tmp_path: Path) -> None:
    memory(tmp_path / ".m.123.old", "old")
    memory(tmp_path / ".m.123.new", "new")
    assert [entry.folder.name for entry in list_memories(tmp_path)] == ["m"]
    assert tree(tmp_path) == {f"m/{MEMORY}": b'{"word": "old"}', f"m/{CARD}": b"old"}

    os.rename(tmp_path / "m", tmp_path / ".m.123.old")
    with pytest.raises(MemoryFolderError, match=r"m/memory\.json: schema version"):
        read_record(tmp_path / "m")
    assert (tmp_path / "m").exists()


def test_the_lock_of_a_dead_writer_goes_with_who_only_looks(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    memory(tmp_path / "m", "old")
    list_memories(tmp_path)
    assert (tmp_path / ".m.nrem-lock").exists(), "its writer is alive"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    list_memories(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_was_being_deleted_does_not_come_back(tmp_path: Path) -> None:
    memory(tmp_path / ".m.123.deleted", "old")
    with pytest.raises(MissingFileError, match="m: no such memory"):
        read_record(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_left_over_with_something_of_somebody_else_gives_it_back(tmp_path: Path) -> None:
    memory(tmp_path / "m", "new")
    for number in (1, 2):
        memory(tmp_path / f".m.{number}.old", "old")
        (tmp_path / f".m.{number}.old" / "notes.txt").write_text(f"notes {number}", encoding="utf-8")
    with one_writer(tmp_path / "m", "test"):
        pass
    found = tree(tmp_path)
    assert sorted(str(c, "utf-8") for n, c in found.items() if "notes" in n and isinstance(c, bytes)) == ["notes 1", "notes 2"]
    assert set(found) == {f"m/{MEMORY}", f"m/{CARD}", "m/notes.txt", "m/notes.txt.kept-1"}


def test_other_names_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / ".m.lock").write_text("their", encoding="utf-8")
    for name in (".m.settings", ".m.12.bak", ".m2.12.old", ".m.5.12.old", "m.12.old", ".m.x.old"):
        memory(tmp_path / name, "their")
    (tmp_path / ".m.12.new").mkdir()
    (tmp_path / ".m.12.new" / "novel.txt").write_text("It was night", encoding="utf-8")
    (tmp_path / ".m.13.old").symlink_to(tmp_path / ".m.settings")
    before = tree(tmp_path)
    with one_writer(tmp_path / "m", "test"):
        pass
    assert tree(tmp_path) == before
    assert [path.name for path in leftovers(tmp_path / "m.5")] == [".m.5.12.old"]


def test_scratch_of_the_living_and_of_others_is_not_swept(temporary: Path) -> None:
    mine = Scratch()
    (mine.folder / "chunks.jsonl").write_text("text", encoding="utf-8")
    (temporary / "nrem-notes").mkdir()
    (temporary / "nrem-text-link").symlink_to(temporary / "nrem-notes")
    (temporary / "nrem-text-dead").mkdir()
    (temporary / "nrem-text-dead" / "chunks.jsonl").write_text("text", encoding="utf-8")
    for name, minutes in (("nrem-making-now", 0), ("nrem-making-dead", 5)):
        (temporary / name).mkdir()
        os.utime(temporary / name, (time.time() - 60 * minutes,) * 2)
    assert (mine.folder.stat().st_mode & 0o777) == 0o700
    sweep_scratch()
    assert {path.name for path in temporary.iterdir()} == {mine.folder.name, "nrem-notes", "nrem-text-link", "nrem-making-now"}
    mine.close()
    assert not mine.folder.exists()


def test_links_as_targets(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "new").symlink_to("made")
    (tmp_path / "circle").symlink_to("circle")
    assert real_target(tmp_path / "link") == tmp_path / "real"
    assert real_target(tmp_path / "new") == tmp_path / "made"
    assert real_target(Path("m")) == Path("m")
    with pytest.raises(UsageError, match=r"circle: is a circle of symbolic links; choose another name"):
        real_target(tmp_path / "circle")
    with pytest.raises(UsageError, match=r"/: is the root of the file system; name a folder in it"):
        check_target(Path("/"), force=True)
    with pytest.raises(UsageError, match=re.escape("/proc: exists and is not a memory")):
        check_target(Path("/proc"), force=True)
