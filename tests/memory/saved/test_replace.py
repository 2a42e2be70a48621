"""A folder in the place of another: the old one or the new one, whole, with all that others put there, wherever the process is killed."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.reliability.killed import killed_at, tree
from nrem.memory.errors import MemoryFolderError
from nrem.memory.saved import replace as replace_module
from nrem.memory.saved.exchange import exchange
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CARD, MEMORY
from nrem.memory.saved.lock import lock_file, one_writer
from nrem.memory.saved.own import check_keepable, foreign, of_journal, of_memory
from nrem.memory.saved.replace import NEW, beside, delete_folder, one_mode, place_folder, replace_folder

THEIRS = ("notes.txt", "src.py", "text/mine.txt", "drafts/a/thesis.tex", "segment-0001/plot.png")
OURS = (
    MEMORY,
    CARD,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    "text/chunks.jsonl",
    "text/index/chunks/params.index.json",
    "segment-0001/" + ADAPTER_WEIGHTS,
)


def write(folder: Path, names: tuple[str, ...], content: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} {name}", encoding="utf-8")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """What looks like a memory, with files of somebody else in it."""
    folder = write(write(tmp_path / "m", OURS, "old"), THEIRS, "their")
    (folder / "link").symlink_to("/nowhere")
    (folder / "drafts" / "empty").mkdir()
    return folder


def make_new(target: Path) -> Path:
    return write(beside(target, NEW), OURS[:5], "new")


def replace_it(target: Path) -> None:
    with one_writer(target, "test"):
        replace_folder(make_new(target), target, of_memory)


def delete_it(target: Path) -> None:
    with one_writer(target, "test"):
        delete_folder(target, of_memory)


@pytest.fixture(params=["exchange", "two renames", "copies"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What kernel and file system can do."""
    if request.param != "exchange":
        monkeypatch.setattr(replace_module, "exchange", lambda first, second: False)
    if request.param == "copies":

        def no_links(source: Path, target: Path, **options: bool) -> None:
            raise PermissionError(1, "no hard links here")

        monkeypatch.setattr(os, "link", no_links)
    return str(request.param)


def theirs(folder: Path) -> dict[str, bytes | str]:
    return {name: content for name, content in tree(folder).items() if not of_memory(name)}


def test_only_what_is_nrems_is_replaced(target: Path, system: str) -> None:
    if system != "copies":  # where there are no links, there are no pipes either
        os.mkfifo(target / "pipe")
    before, inode = theirs(target), (target / "notes.txt").stat().st_ino
    (target / "drafts").chmod(0o555)
    assert len(before) == len(THEIRS) + 1
    replace_it(target)
    assert theirs(target) == before
    assert (target / "notes.txt").stat().st_ino == inode, "the very file, for whoever has it open"
    assert {name: content for name, content in tree(target).items() if of_memory(name)} == {n: f"new {n}".encode() for n in OURS[:5]}
    assert system == "copies" or stat.S_ISFIFO((target / "pipe").lstat().st_mode)
    assert stat.S_IMODE((target / "drafts").stat().st_mode) == 0o555
    assert (target / "drafts" / "empty").is_dir()
    assert [path.name for path in target.parent.iterdir()] == ["m"]


def test_a_pipe_in_place_of_the_record_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    os.mkfifo(folder / MEMORY)
    (folder / CARD).write_text("ours", encoding="utf-8")
    assert [Path(path).name for path in foreign(folder, of_memory)] == [MEMORY]


@pytest.mark.usefixtures("system")
def test_only_what_is_nrems_is_deleted(target: Path) -> None:
    before = theirs(target)
    with one_writer(target, "test"):
        kept = delete_folder(target, of_memory)
    assert kept == sorted(("drafts", "link", "notes.txt", "segment-0001/plot.png", "src.py", "text/mine.txt"))
    assert tree(target) == before
    assert [path.name for path in target.parent.iterdir()] == ["m"]


def test_a_folder_of_nrem_alone_goes_whole(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", OURS, "old")
    assert delete_folder(folder, of_memory) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("act", "new"), [(replace_it, {f"new {n}" for n in OURS[:5]}), (delete_it, set())])
def test_a_kill_anywhere_leaves_the_old_or_the_new_one(
    target: Path, system: str, act: Callable[[Path], None], new: set[str], tmp_path: Path
) -> None:
    """And the next writer finds nothing else, wherever it was."""
    before, old = theirs(target), {f"old {n}" for n in OURS}
    seen = set()
    number, step = 0, 1 if system == "exchange" else 3
    while killed_at(number := number + step, lambda: act(target)):
        assert number < 300
        if system == "exchange":
            found = {str(c, "utf-8") for n, c in tree(target).items() if of_memory(n) and isinstance(c, bytes)}
            assert found in (old, new), "at no moment it is gone from view"
        with one_writer(target, "the next command"):
            pass
        assert theirs(target) == before, f"kill {number}"
        found = {str(c, "utf-8") for n, c in tree(target).items() if of_memory(n) and isinstance(c, bytes)}
        assert found in (old, new), f"kill {number}"
        seen.add(found == new)
        assert [path.name for path in tmp_path.iterdir()] == ["m"], f"kill {number}"
        write(target, OURS, "old")
    assert number > 20
    assert seen == {False, True}


def test_every_file_and_folder_is_synced_before_the_exchange(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded order of system calls, played again on a disk that keeps nothing but what was synced."""
    log: list[tuple[str, int]] = []
    sync, swap = os.fsync, replace_module.exchange

    def fsync(descriptor: int) -> None:
        log.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def swapped(first: Path, second: Path) -> bool:
        log.append(("exchange", 0))
        return swap(first, second)

    made = make_new(target)
    inodes = {path.relative_to(made).as_posix(): path.stat().st_ino for path in (made, *made.rglob("*"))}
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(replace_module, "exchange", swapped)
    replace_folder(made, target, of_memory)
    at = log.index(("exchange", 0))
    before, after = {inode for _, inode in log[:at]}, {inode for _, inode in log[at:]}
    assert {name for name, inode in inodes.items() if inode not in before} == set()
    assert {target.parent.stat().st_ino} <= after
    assert log.count(("exchange", 0)) == 1


def test_what_appeared_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    made = write(tmp_path / ".m.1.new", OURS, "new")
    write(tmp_path / "m", ("novel.txt",), "their")
    with pytest.raises(MemoryFolderError, match=r"m: appeared meanwhile and is not replaced .*; move it away, then try again"):
        place_folder(made, tmp_path / "m")
    assert tree(tmp_path / "m") == {"novel.txt": b"their novel.txt"}
    (tmp_path / "empty").mkdir()
    place_folder(made, tmp_path / "empty")
    assert (tmp_path / "empty" / MEMORY).exists()


def test_what_cannot_be_kept_is_refused_before_any_work(target: Path) -> None:
    check_keepable(target, of_memory)
    (target / "statistics.safetensors").mkdir()
    with pytest.raises(MemoryFolderError, match=r"statistics.safetensors: stands where nrem keeps something of its own; move it away"):
        check_keepable(target, of_memory)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_one_mode_by_umask_and_that_of_the_old_one_where_there_is_one(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = write(tmp_path / "made", OURS, "new")
        (made / ADAPTER_WEIGHTS).chmod(0o600)  # as safetensors does
        one_mode(made, tmp_path / "m")
    finally:
        os.umask(before)
    files = {stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()}
    assert files == {0o666 & ~umask}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made, *made.rglob("*")) if path.is_dir()} == {0o777 & ~umask}
    (made / MEMORY).chmod(0o600)
    made.chmod(0o700)
    newer = write(tmp_path / "newer", OURS, "newer")
    one_mode(newer, made)
    assert {stat.S_IMODE(path.stat().st_mode) for path in newer.rglob("*") if path.is_file()} == {0o600}
    assert stat.S_IMODE(newer.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "memory", "journal"),
    [
        ("memory.json", True, False),
        ("resume.safetensors", False, True),
        (".tmpAb12Cd", False, True),
        ("segments/0003/adapter_model.safetensors", False, True),
        ("segment-0003/statistics.safetensors", True, False),
        ("segment-0003/written.safetensors", True, False),
        ("written.safetensors", False, False),
        ("text/chunks.jsonl", True, True),
        ("text/index/windows/vocab.index.json", True, True),
        ("text/index/notes.txt", False, False),
        ("text/thesis.jsonl", False, False),
        ("segment-0003/notes.txt", False, False),
        ("deep/memory.json", False, False),
        ("Memory.json", False, False),
        ("adapter_model.safetensors.bak", False, False),
    ],
)
def test_names_that_are_nrems(name: str, memory: bool, journal: bool) -> None:
    assert (of_memory(name), of_journal(name)) == (memory, journal)


def test_a_listed_file_is_nrems_as_long_as_it_is_what_was_listed(tmp_path: Path) -> None:
    write(tmp_path, ("chat.jinja", "notes.txt"), "x")
    digest = "2a1b9e4a4d4e1c3b"
    (tmp_path / MEMORY).write_text(f'{{"files": {{"chat.jinja": "{digest}"}}}}', encoding="utf-8")
    assert foreign(tmp_path, of_memory) == ["chat.jinja", "notes.txt"]
    from nrem.memory.saved.atomic import sha256_file

    (tmp_path / MEMORY).write_text(f'{{"files": {{"chat.jinja": "{sha256_file(tmp_path / "chat.jinja")}"}}}}', encoding="utf-8")
    assert foreign(tmp_path, of_memory) == ["notes.txt"]


def test_a_link_under_a_name_of_nrems_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", ("chunks.jsonl", "novel.txt"), "their")
    folder = write(tmp_path / "m", (MEMORY, CARD), "old")
    (folder / "text").symlink_to(tmp_path / "elsewhere")
    (folder / ADAPTER_WEIGHTS).symlink_to(tmp_path / "elsewhere" / "novel.txt")
    assert delete_folder(folder, of_memory) == []
    assert sorted(tree(tmp_path)) == ["elsewhere/chunks.jsonl", "elsewhere/novel.txt"]


@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="Linux alone can")
def test_linux_exchanges_in_one_step(tmp_path: Path) -> None:
    write(tmp_path / "a", ("x",), "a")
    write(tmp_path / "b", ("x",), "b")
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "x").read_text(encoding="utf-8") == "b x"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "gone")


def test_the_lock_is_no_part_of_the_folder(tmp_path: Path) -> None:
    assert lock_file(tmp_path / "m") == lock_file(tmp_path / "m.unfinished") == tmp_path / ".m.nrem-lock"
    with one_writer(tmp_path / "m", "test"):
        assert [path.name for path in tmp_path.iterdir()] == [".m.nrem-lock"]
    assert list(tmp_path.iterdir()) == []
