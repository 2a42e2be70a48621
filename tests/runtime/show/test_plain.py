"""Nothing that a file says moves the cursor, hides text or breaks a table."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nrem.memory.saved.record import ChunkRecord, DocumentRecord, MemoryRecord, SleepRecord
from nrem.runtime.models.load import Base
from nrem.runtime.show.memory import documents_table, memory_report, sleeps_table, summary
from nrem.runtime.show.night import gain, rolled_back, times
from nrem.runtime.show.plain import cell, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Über 漢字 [bold]naïve[/bold] £", "Über 漢字 [bold]naïve[/bold] £"),
        ("a\tb\r\nc\u2028d", "a b c d"),
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "title link"),
        ("\x1b]0;no end to it", "0;no end to it"),
        ("\x9b31mred\x90dcs\x9cdone", "reddone"),
        ("null\0bell\adel\x7f", "nullbelldel"),
        ("exe\u202etxt.\u2066x", "exetxt.x"),
        ("bad\udc80name", "badname"),
    ],
)
def test_what_is_said_stays_and_control_goes(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    shown = plain(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs")]
    assert plain(shown) == shown
    assert isinstance(shown.encode(), bytes), "no half of a surrogate pair"


@given(st.text(alphabet="ab [/]\\\x1b", max_size=12))
def test_square_brackets_are_text(text: str) -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(cell(text))
    assert out.getvalue() == plain(text) + "\n"


def record_of(base: Base, title: str) -> MemoryRecord:
    chunks = [
        ChunkRecord(document=title, index=i, start=i, end=i + 1, num_tokens=9, surprisal=2.0, sleep=int(i > 1), passes=2 * (i < 2),
                    exit="cap" if i < 2 else "budget", num_probes=3 * (i == 0), nll_before=4.0, nll_after=1.77)
        for i in range(6)
    ]  # fmt: skip
    chunks[4].sleep = chunks[5].sleep = 2
    sleeps = [
        SleepRecord(index=i, chunks=[2 * i, 2 * i + 1], replayed=[], passes=2 * (i == 0), recall_before=0.0, recall_after=0.0, fet=9.0,
                    seconds=1.0, kept=True, guard={}, sample=True)
        for i in range(3)
    ]  # fmt: skip
    document = DocumentRecord(name=title, title=title, sha256="", num_characters=6, num_tokens=54, num_chunks=6)
    return MemoryRecord(base=base.identity, protocol={"id": "p", "sha256": "", "rule": "ridge"}, config={}, seed=0, documents=[document],
                        chunks=chunks, sleeps=sleeps, canary={"question": title, "answer": title})  # fmt: skip


@pytest.mark.parametrize("title", ["Notes [/bold] [red]", "[link=x]", "a\\[b", "\x1b[2Jgone\x07"])
def test_a_title_breaks_no_table(
    llama: Base, title: str, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("m [x]")
    memory_report(record_of(llama, title), folder)
    shown = capsys.readouterr().out
    assert plain(title) in shown
    assert "\x1b" not in shown
    assert "\a" not in shown
    assert str(folder) in shown
    assert documents_table(record_of(llama, title)).row_count == 1


def test_the_gain_comes_first_and_says_what_it_is(llama: Base) -> None:
    record = record_of(llama, "t")
    assert gain(summary(record, None)) == (
        "right answers to 3 questions about 1 of 6 chunks became 9.3 times as likely, token for token: "
        "answer NLL 4.00 before, 1.77 after (nats a token, less is surer)"
    )
    record.chunks[0].nll_after = 4.5
    assert "became 1.6 times less likely, token for token" in gain(summary(record, None))
    record.chunks[0].num_probes = 0
    assert gain(summary(record, None)) == "no questions were asked: the text states nothing that can be asked for"
    assert [times(x) for x in (0.0, 0.004, 5.0)] == ["no likelier", "no likelier", "148 times as likely, token for token"]


def test_sleeps_that_wrote_nothing_are_one_line_and_what_was_undone_is_told(llama: Base) -> None:
    record = record_of(llama, "t")
    assert sleeps_table(record).row_count == 2
    record.sleeps[0].kept, record.sleeps[0].reason = False, "KL is high"
    assert rolled_back(record) == "the guard undid 1 sleep of 3, so nothing of it is in the adapter: KL is high"
    assert summary(record, None)["chunks_written"] == 0
