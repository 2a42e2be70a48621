"""Texts of any script are found by their words, also where no spaces stand between them, and by words of one character."""

from pathlib import Path

import pytest

from nrem.memory.saved.files import TEXT_INDEX
from nrem.memory.stream.chunk import Chunk
from nrem.memory.text import evicted as text_module
from nrem.memory.text.evicted import EvictedText
from nrem.memory.text.pieces import all_words, pieces_of

TEXTS = [
    "灯塔建于1874年,在北面的岩石上。",
    "看守人每天晚上六点点灯。",
    "灯台は1874年に北の岩の上に建てられた。",
    "番人は毎晩六時にランプをともした。",
    "ประภาคารสร้างขึ้นในปี 1874 บนโขดหินทางเหนือ",
    "ผู้ดูแลจุดตะเกียงทุกเย็น",
    "등대는 1874년에 북쪽 바위 위에 세워졌다.",
    "लाइटहाउस की बत्ती हर शाम जलती थी।",
    "The vitamin C of limes kept the crew well.",
    "The compiler was written in R by Ms Q, in 9 days.",
    "ＦＵＬＬ　ＷＩＤＴＨ signals, and a café.",
    "មេឃខៀវនៅពេលព្រឹក",
]
"""Chinese, Japanese, Thai, Korean, Hindi, English, wide letters and Khmer."""


@pytest.fixture
def evicted(tmp_path: Path) -> EvictedText:
    text = EvictedText(tmp_path)
    for i, line in enumerate(TEXTS):
        text.append(Chunk(document="d", title="", index=i, start=0, end=len(line), text=line, num_tokens=1))
    return text


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("谁每天晚上点灯?", 1),
        ("岩石", 0),
        ("塔", 0),
        ("ランプ", 3),
        ("番人は何時に", 3),
        ("灯台はいつ建てられましたか", 2),
        ("ตะเกียง", 5),
        ("ประภาคารสร้างเมื่อไร", 4),
        ("등대", 6),
        ("बत्ती कब जलती है", 7),
        ("Which vitamin? C?", 8),
        ("Why R?", 9),
        ("What is Q?", 9),
        ("9", 9),
        ("full width", 10),
        ("cafe\u0301", 10),
        ("ខៀវ", 11),
    ],
)
def test_the_right_chunk_is_found(evicted: EvictedText, question: str, best: int) -> None:
    assert next(hit.chunk.index for hit in evicted.search(question)) == best


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("When did cafe Zoe open?", "The café Zoë opened in May.", "The cafeteria of the zoo opened in June."),
        ("Who did Alvaro Nunez lead?", "Álvaro Núñez led the miners.", "Alvin Nunn led the weavers."),
        ("What is made in Lodz?", "Cloth is made in Łódź.", "Lodges are made of wood."),
        ("Where is the Strasse?", "Die Straße liegt im Norden.", "Strassers live in the south."),
        ("What is consolidation?", "_Consolidation_ writes text into weights.", "Consolidated figures are in the annex."),
        ("timeout limit", "__timeout__ is the limit in seconds.", "Timeouts have limits of their own."),
        ("get user name function", "`get_user_name()` returns a string.", "A functional username is got by users."),
        ("What was 1250000?", "Sales were 1,250,000 last year.", "The order has the number 12500."),
        ("What was 1,250,000?", "Sales were 1250000 last year.", "The orders were 1, 250 and 0."),
    ],
)
def test_accents_underscores_and_commas_in_numbers_do_not_hide_a_word(tmp_path: Path, question: str, right: str, wrong: str) -> None:
    text = EvictedText(tmp_path)
    for i, line in enumerate((wrong, right, "Nothing to do with it.")):
        text.append(Chunk(document="d", title="", index=i, start=0, end=len(line), text=line, num_tokens=1))
    assert [hit.chunk.index for hit in text.search(question)][:1] == [1]


def test_marks_of_other_scripts_stay() -> None:
    assert all_words("й и बत्ती ग्") == ["й", "и", "बत्ती", "ग्"]
    assert all_words("1,25 and 1990,1991 and 10,200") == ["1", "25", "and", "1990", "1991", "and", "10200", "10", "200"]
    assert all_words("Oslo,1250,315,890") == ["oslo", "1250", "315", "890"]
    assert {"101", "102", "103"} <= set(all_words("rooms 101,102,103"))
    assert all_words("2020,125 ǿ") == ["2020", "125", "o"]


def test_what_is_not_there_is_not_found(evicted: EvictedText) -> None:
    for question in ("鲸鱼", "X", "ปลาวาฬ", "zebra"):
        assert evicted.search(question) == []


def test_what_an_apostrophe_leaves_over_is_no_word() -> None:
    assert pieces_of("Orrin's") == pieces_of("Orrin’s") == pieces_of("Orrin")
    assert pieces_of("O'Brien") == ["<o>", *pieces_of("Brien")]


def test_an_index_of_other_rules_is_made_anew(evicted: EvictedText, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(text_module, "RULES", "4-grams")
        assert evicted.save_index() == evicted.folder / TEXT_INDEX
        assert EvictedText(evicted.folder).has_index
    assert not EvictedText(evicted.folder).has_index
    assert EvictedText(evicted.folder).search("岩石")[0].chunk.index == 0
