"""A memory that somebody else changes while it is open: nothing of theirs is lost, and nothing that they had forgotten is answered from."""

import io
import shutil
from pathlib import Path

import pytest

from nrem.memory.errors import InUseError, MemoryFolderError
from nrem.memory.memory import Memory
from nrem.runtime.models.load import Base
from nrem.runtime.readers.document import Document
from nrem.runtime.session.consolidate import consolidate, extend
from nrem.runtime.session.rewrite import forget, merge
from nrem.runtime.wake.talk import ask_each, chat
from nrem.runtime.wake.wake import Wake
from tests import tiny

CHANGED = "m: was changed by another program since it was opened here; open it again and repeat what you did, or save under another name"


@pytest.fixture(scope="module")
def made(llama: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1")
    return consolidate(Document.from_text(tiny.STORY, "orrin"), base=llama, config=config).save(tmp_path_factory.mktemp("made") / "m")


@pytest.fixture
def m(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "m"))


def more(number: int) -> Document:
    return Document.from_text(f"The mill of Sarn was built in 179{number} by Ines Vow.", f"more-{number}")


def test_the_later_of_two_programs_is_told(m: Path, llama: Base) -> None:
    mine, theirs = Memory.load(m), Memory.load(m)
    extend(theirs, more(1), base=llama).save(m, force=True)
    extend(mine, more(2), base=llama)
    with pytest.raises(InUseError, match=CHANGED):
        mine.save(m, force=True)
    assert [d.name for d in Memory.load(m).record.documents] == ["orrin", "more-1"]
    assert mine.save(m.parent / "n") == m.parent / "n"
    again = extend(Memory.load(m), more(2), base=llama)
    for _ in range(2):  # what it saved itself is no change
        again.save(m, force=True)
    assert [d.name for d in Memory.load(m).record.documents] == ["orrin", "more-1", "more-2"]
    assert extend(theirs, more(3), base=llama) is theirs
    with pytest.raises(InUseError, match=CHANGED):
        theirs.save(m, force=True)


def test_what_was_made_of_it_is_told_as_well(m: Path, llama: Base) -> None:
    first, second = Memory.load(m), Memory.load(m)
    extend(first, more(1), base=llama).save(m, force=True)
    for made_of_it in (merge(second, second, base=llama), second):
        with pytest.raises(InUseError, match=CHANGED):
            made_of_it.save(m, force=True)


def test_by_any_name_of_the_folder(m: Path, llama: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    (m.parent / "link").symlink_to(m)
    monkeypatch.chdir(m.parent)
    mine = Memory.load("link")
    Memory.load(m).save(m, force=True)
    assert mine.changed()
    with pytest.raises(InUseError, match="was changed by another program"):
        mine.save("m", force=True)


def test_a_memory_that_is_gone_may_be_saved_again(m: Path) -> None:
    memory = Memory.load(m)
    memory.with_scratch_text(memory.text or ())
    shutil.rmtree(m)
    assert memory.save(m) == m


def test_chat_opens_it_anew(m: Path, llama: Base, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened = []

    def reopen(base: Base) -> Wake:
        opened.append(Wake.open(Memory.load(m), base))
        return opened[-1]

    class Lines(io.StringIO):
        def __next__(self) -> str:  # type: ignore[override]
            line = super().__next__()
            if line.startswith("second"):
                Memory.load(m).save(m, force=True)
            if line.startswith("fourth"):
                shutil.rmtree(m)
            return line

    monkeypatch.setattr("sys.stdin", Lines("first?\nsecond?\nthird?\nfourth?\nfifth?\n"))
    chat(Wake.open(Memory.load(m), llama), reopen)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    told = err.splitlines()
    assert told[0] == f"nrem: {m} was changed meanwhile, and opened anew"
    assert [line.startswith(f"nrem: {m}: no such memory") for line in told[1:]] == [True, True]
    assert len(opened) == 1


def test_ask_does_not_answer_from_what_was_deleted(m: Path, llama: Base) -> None:
    wake = Wake.open(Memory.load(m), llama, ["answer.batch_size=1"])
    answers = ask_each(wake, ["first?", "second?"])
    assert next(answers).question == "first?"
    shutil.rmtree(m)
    with pytest.raises(MemoryFolderError, match="m: was changed or deleted while it was asked; ask again"):
        next(answers)


def test_forget_of_statistics(llama: Base, tmp_path: Path) -> None:
    from nrem.consolidation.protocol.folder import save_protocol

    folder = save_protocol(tmp_path / "p", tiny.make_keyed_protocol(llama), llama.identity, {})
    config = tiny.make_config("guard.enabled=false", "sleep.passes=1", f"protocol.name={folder}")
    m = consolidate(Document.from_text(tiny.STORY, "orrin"), base=llama, config=config).save(tmp_path / "m")
    left = forget(Memory.load(m), [0])
    Memory.load(m).save(m, force=True)
    with pytest.raises(InUseError, match=CHANGED):
        left.save(m, force=True)
